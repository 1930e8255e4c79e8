# Completions of genstore for bash 4.4 or later. The program itself lists the candidates.
_genstore() {
    local IFS=$'\n' value line what=
    local -a found=()
    COMPREPLY=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ -n $value ]]; then found+=("$value"); else what=${line#$'\t'}; fi
    done < <("${COMP_WORDS[0]/#\~/$HOME}" complete-words "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
    case $what in
        folders) compopt -o filenames -o plusdirs ;;
        files) compopt -o filenames -o default ;;
        command)
            local at
            for ((at = 1; at < COMP_CWORD; at++)); do [[ ${COMP_WORDS[at]} != -- ]] || break; done
            if declare -F _command_offset >/dev/null; then
                _command_offset $((at + 1))
            elif ((at + 1 == COMP_CWORD)); then
                COMPREPLY=($(compgen -c -- "$2"))
            else
                compopt -o filenames -o default
            fi
            return
            ;;
    esac
    COMPREPLY=("${found[@]}")
    # The next part of a path follows without a space.
    if [[ ${#found[@]} -eq 1 && ${found[0]} == */ ]]; then compopt -o nospace; fi
}
complete -o nosort -F _genstore genstore
