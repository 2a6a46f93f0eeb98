# bash completion of monoseme; made by: monoseme completion bash
@FLAGS@
@FIRST@
@VALUES@
_monoseme() {
  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" verb="${COMP_WORDS[1]}" key found head=""
  COMPREPLY=()
  [[ $current == "=" ]] && current=""
  [[ $before == "=" ]] && before="${COMP_WORDS[COMP_CWORD-2]}"
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "$(_monoseme_first '') --help --version" -- "$current")); return
  fi
  key="$verb"
  case "$verb" in study|bench|plan) (( COMP_CWORD > 2 )) && key="$verb ${COMP_WORDS[2]}";; esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$(_monoseme_flags "$key")" -- "$current")); return
  fi
  if [[ $before == -* ]]; then
    found="$(_monoseme_values "$key $before")"
  elif (( COMP_CWORD == 2 )); then
    found="$(_monoseme_first "$verb")"
  fi
  [[ -z $found ]] && return
  [[ $current == *,* ]] && head="${current%,*},"
  COMPREPLY=($(compgen -P "$head" -W "$found" -- "${current##*,}"))
}
complete -o default -F _monoseme monoseme
