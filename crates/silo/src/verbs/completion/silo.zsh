#compdef silo
# zsh completion of silo: put it into a folder of $fpath as _silo, or: source <(silo completion zsh)
_silo() {
    local -a found
    found=("${(@f)$(silo __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then
        compadd -a found
    else
        _files
    fi
}
compdef _silo silo
