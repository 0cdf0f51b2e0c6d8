# Names of agents and peers: asked of the daemon, if one answers.
_aicpctl() {
    local -a names
    if [[ "${words[CURRENT]}" != -* ]]; then
        names=(${(f)"$("${words[1]}" complete-names -- "${(@)words[2,CURRENT-1]}" 2>/dev/null)"})
    fi
    if (( $#names )); then
        compadd -a names
    else
        _aicpctl_static "$@"
    fi
}
