# fish completion of silo: put it into ~/.config/fish/completions, or: silo completion fish | source
function __silo_complete
    set -l words (commandline -opc) (commandline -ct)
    silo __complete $words[2..-1] 2>/dev/null
end
complete -c silo -f -a '(__silo_complete)'
