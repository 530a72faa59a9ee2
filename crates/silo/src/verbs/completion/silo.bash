# bash completion of silo: put it into /etc/bash_completion.d, or: source <(silo completion bash)
_silo() {
    local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    mapfile -t COMPREPLY < <(silo __complete "${words[@]}" 2>/dev/null)
    # Nothing of Silo's fits: names of files.
    [[ ${#COMPREPLY[@]} -gt 0 ]] || compopt -o default
}
complete -F _silo silo
