# Names of agents and peers: asked of the daemon, if one answers.
_aicpctl_live() {
    local line="${COMP_LINE:0:COMP_POINT}" typed name kept=()
    local words
    read -ra words <<< "$line"
    typed="${line##*[[:space:]]}"
    # The last word is one that is being typed.
    [[ -n "$typed" ]] && words=("${words[@]:0:${#words[@]}-1}")
    if [[ "$typed" != -* ]]; then
        # Bash takes what stands before an @ for a word of its own.
        local stem="${typed%"${typed##*[@=:]}"}"
        while IFS= read -r name; do
            [[ "$name" == "$typed"* ]] && kept+=("${name#"$stem"}")
        done < <("$1" complete-names -- "${words[@]:1}" 2>/dev/null)
        if [[ ${#kept[@]} -gt 0 ]]; then
            COMPREPLY=("${kept[@]}")
            return 0
        fi
    fi
    _aicpctl "$@"
    # What stands for a value is none.
    for name in "${COMPREPLY[@]}"; do
        [[ "$name" == [\<\[]* ]] || kept+=("$name")
    done
    COMPREPLY=("${kept[@]}")
}

complete -F _aicpctl_live -o bashdefault -o default aicpctl
