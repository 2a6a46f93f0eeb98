#compdef monoseme
# zsh completion of monoseme; made by: monoseme completion zsh
@FLAGS@
@FIRST@
@VALUES@
_monoseme() {
  local current="${words[CURRENT]}" before="${words[CURRENT-1]}" verb="${words[2]}" key
  local -a found
  if (( CURRENT == 2 )); then
    found=(${(f)"$(_monoseme_first '')"} --help --version)
    compadd -- $found; return
  fi
  key="$verb"
  case "$verb" in study|bench|plan) (( CURRENT > 3 )) && key="$verb ${words[3]}";; esac
  if [[ $current == --*=* ]]; then
    before="${current%%=*}"
    compset -P '*='
  elif [[ $current == -* ]]; then
    found=(${(f)"$(_monoseme_flags "$key")"})
    compadd -- $found; return
  fi
  if [[ $before == -* ]]; then
    found=(${(f)"$(_monoseme_values "$key $before")"})
  elif (( CURRENT == 3 )); then
    found=(${(f)"$(_monoseme_first "$verb")"})
  fi
  if (( $#found )); then
    compset -P '*,'
    compadd -- $found
  else
    _files
  fi
}
if [[ $funcstack[1] == _monoseme ]]; then _monoseme "$@"; else compdef _monoseme monoseme; fi
