# fish completion of monoseme; made by: monoseme completion fish
@FLAGS@
@FIRST@
@VALUES@
function __monoseme_complete
  set -l given (commandline -opc)
  set -l current (commandline -ct)
  set -l before $given[-1]
  set -l found
  set -l head ''
  if test (count $given) -eq 1
    _monoseme_first ''
    printf '%s\n' --help --version
    return
  end
  set -l key $given[2]
  if contains -- $key study bench plan; and test (count $given) -gt 2
    set key "$key $given[3]"
  end
  if string match -q -- '--*=*' $current
    set before (string split -m 1 -- = $current)[1]
    set head "$before="
  else if string match -q -- '-*' $current
    _monoseme_flags $key
    return
  end
  if string match -q -- '-*' $before
    set found (_monoseme_values "$key $before")
  else if test (count $given) -eq 2
    set found (_monoseme_first $key)
  end
  if test (count $found) -gt 0
    set -l rest (string replace -- $head '' $current)
    if string match -q -- '*,*' $rest
      set head "$head"(string replace -r -- '[^,]*$' '' $rest)
    end
    printf '%s\n' $head$found
  else
    __fish_complete_path $current
  end
end
complete -c monoseme -f -a '(__monoseme_complete)'
