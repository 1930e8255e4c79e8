# Completions of genstore for fish. The program itself lists the candidates.
function __genstore_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    # The value of --flag=VALUE is completed alone.
    set -l before (string match -r -- '^--[^=]*=' $word)
    set -l rest (string replace -r -- '^--[^=]*=' '' $word)
    for line in ($words[1] complete-words $words[2..] "$word" 2>/dev/null)
        switch $line
            case \tfolders
                for folder in (__fish_complete_directories "$rest" '')
                    echo "$before$folder"
                end
            case \tfiles
                for file in (__fish_complete_path "$rest")
                    echo "$before$file"
                end
            case \tcommand
                set -l at (contains -i -- -- $words)
                set -l after (math $at + 1)
                complete -C (string join ' ' -- (string escape -- $words[$after..]) $word)
            case '*'
                echo "$before$line"
        end
    end
end
complete -c genstore -f -k -a '(__genstore_complete)'
