# From the top of the repository: nix build '.?dir=packaging'
{
  description = "Publishes build outputs as generations: hash, link, commit by one symlink";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forEach = nixpkgs.lib.genAttrs systems;
    in {
      packages = forEach (system:
        let pkgs = nixpkgs.legacyPackages.${system};
        in {
          default = pkgs.rustPlatform.buildRustPackage {
            pname = "genstore";
            version = "0.1.0";
            src = ../.;
            cargoLock.lockFile = ../Cargo.lock;
            cargoBuildFlags = [ "--bin" "genstore" ];
            # The tests mount filesystems and need cargo-nextest: scripts/check runs them.
            doCheck = false;
            nativeBuildInputs = [ pkgs.installShellFiles ];
            postInstall = ''
              for shell in bash fish zsh; do
                $out/bin/genstore completions $shell > genstore.$shell
              done
              installManPage docs/man/*.1
              installShellCompletion genstore.{bash,fish,zsh}
            '';
            meta = {
              mainProgram = "genstore";
              license = with pkgs.lib.licenses; [ mit asl20 ];
              platforms = systems;
            };
          };
        });
    };
}
