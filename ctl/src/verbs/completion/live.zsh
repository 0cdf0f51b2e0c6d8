# Names of agents and peers: asked of the daemon, if one answers. Where a name comes next, no file does.
_aicpctl() {
    local names
    if [[ "${words[CURRENT]}" != -* ]] &&
        names="$("${words[1]}" complete-names -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)"; then
        compadd -- ${(f)names}
    else
        _aicpctl_static "$@"
    fi
}
