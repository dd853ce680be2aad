# Completion of gatehouse's command line for bash 4 and newer.
# "gatehouse completion bash" prints this; the program itself says what fits.

_gatehouse() {
    local -a words=()
    local word value kind= prefix= cur stem= breaks lead rest=${COMP_LINE:0:COMP_POINT}
    COMPREPLY=()

    # Bash takes words apart at ":" and "=" as well: join what no blank separates.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#words[@]} -eq 0 || $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words+=("")
        fi
        words[${#words[@]}-1]+=${rest:0:${#word}}
        rest=${rest:${#word}}
    done
    cur=${words[${#words[@]}-1]}
    words=("${words[@]//[\'\"\\]/}") # as far as the words before matter
    words[${#words[@]}-1]=$cur

    # What stands before the last of these is not replaced.
    breaks=${COMP_WORDBREAKS//[^:=]/}
    [[ -z $breaks ]] || stem=${cur%"${cur##*[$breaks]}"}

    while IFS= read -r value; do
        if [[ -z $kind ]]; then
            kind=${value%% *} prefix=${value#* }
        else
            value=${value%%$'\t'*}
            COMPREPLY+=("${value#"$stem"}")
        fi
    done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *[:=/@] ]] || compopt -o nospace
    [[ $kind == files || $kind == folders || $kind == toml ]] || return 0

    lead=${prefix#"$stem"}
    if [[ -z $lead && ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o filenames # quotes them, and marks folders
    fi
    while IFS= read -r value; do
        COMPREPLY+=("$lead$value")
    done < <(
        value=${cur#"$prefix"}
        case $kind in
        files) compgen -f -- "$value" ;;
        folders) compgen -d -- "$value" ;;
        toml) compgen -d -- "$value"; compgen -f -X '!*.toml' -- "$value" ;;
        esac
    )
}

complete -F _gatehouse gatehouse
