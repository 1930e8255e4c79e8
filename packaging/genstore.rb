# A formula for Homebrew on Linux. Set `url` and `sha256` to those of a source archive of a release.
class Genstore < Formula
  desc "Publish build outputs as generations: hash, link, commit by one symlink"
  url "https://example.org/genstore-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build
  depends_on :linux

  def install
    system "cargo", "install", *std_cargo_args
    man1.install Dir["docs/man/*.1"]
    generate_completions_from_executable(bin/"genstore", "completions")
  end

  test do
    (testpath/"dist/index.html").write "hello"
    system bin/"genstore", "publish", "dist"
    assert_equal "hello", (testpath/"genstore/current/index.html").read
  end
end
