#compdef gatehouse
# Completion of gatehouse's command line for zsh 5 and newer.
# "gatehouse completion zsh" prints this; the program itself says what fits.

_gatehouse() {
    local -a out open closed
    local line value says kind prefix
    out=("${(@f)$(${(Q)words[1]/#\~/$HOME} __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    [[ -n $out[1] ]] || return 1
    kind=${out[1]%% *} prefix=${out[1]#* }
    for line in "${(@)out[2,-1]}"; do
        value=${line%%$'\t'*} says=${line#*$'\t'}
        value=${value//:/\\:}
        [[ -z $says ]] || value+=":$says"
        if [[ ${line%%$'\t'*} == *[:=/@] ]]; then
            open+=("$value")
        else
            closed+=("$value")
        fi
    done
    (( ! $#closed )) || _describe -V 'gatehouse' closed
    (( ! $#open )) || _describe -V 'gatehouse' open -S ''
    [[ -z $prefix ]] || compset -p $#prefix
    case $kind in
    files) _files ;;
    folders) _files -/ ;;
    toml) _files -g '*.toml' ;;
    esac
    (( compstate[nmatches] ))
}

if [[ $funcstack[1] == _gatehouse ]]; then # a file of fpath
    _gatehouse "$@"
else
    compdef _gatehouse gatehouse
fi
