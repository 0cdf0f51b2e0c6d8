# Names of agents and peers: asked of the daemon, if one answers. Where a name comes next, no file does.
_aicpctl_live() {
    local line="${COMP_LINE:0:COMP_POINT}" typed names name kept=()
    local words
    read -ra words <<< "$line"
    typed="${line##*[[:space:]]}"
    # The last word is one that is being typed.
    [[ -n "$typed" ]] && words=("${words[@]:0:${#words[@]}-1}")
    if [[ "$typed" != -* ]] && names="$("$1" complete-names -- "${words[@]:1}" 2>/dev/null)"; then
        # Bash takes what stands before an @ for a word of its own.
        local stem="${typed%"${typed##*[@=:]}"}"
        while IFS= read -r name; do
            [[ -n "$name" && "$name" == "$typed"* ]] && kept+=("${name#"$stem"}")
        done <<< "$names"
        COMPREPLY=("${kept[@]}")
        compopt +o bashdefault +o default 2>/dev/null
        return 0
    fi
    _aicpctl "$@"
    # What stands for a value is none.
    for name in "${COMPREPLY[@]}"; do
        [[ "$name" == [\<\[]* ]] || kept+=("$name")
    done
    COMPREPLY=("${kept[@]}")
}

complete -F _aicpctl_live -o bashdefault -o default aicpctl
