# Completion of gatehouse's command line for fish 3 and newer.
# "gatehouse completion fish" prints this; the program itself says what fits.

function __gatehouse_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l cur (commandline -ct)
    set -l out (command $program __complete $words "$cur" 2>/dev/null)
    set -q out[1]; or return
    set -l head (string split -m 1 ' ' -- $out[1])
    set -e out[1]
    for line in $out
        echo -- $line
    end
    set -l rest (string sub -s (math 1 + (string length -- "$head[2]")) -- "$cur")
    switch $head[1]
        case files
            set out (__fish_complete_path "$rest")
        case folders
            set out (__fish_complete_directories "$rest" '')
        case toml
            set out (__fish_complete_path "$rest" | string match -r '^[^\t]*(?:/|\.toml)(?:\t.*)?$')
        case '*'
            return
    end
    for line in $out
        echo -- "$head[2]$line"
    end
end

complete -c gatehouse -f -a '(__gatehouse_complete)'
