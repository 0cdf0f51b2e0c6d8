# Names of agents and peers: asked of the daemon, if one answers. Where a name comes next, no file does.
function __aicpctl_names
    set -l words (commandline -opc)
    set -g __aicpctl_known ($words[1] complete-names -- $words[2..] 2>/dev/null)
end

complete -c aicpctl -n __aicpctl_names -f -a '$__aicpctl_known'
