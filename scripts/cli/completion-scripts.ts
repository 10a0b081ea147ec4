import { shellLine } from '../../src/hosts/quote.js';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/**
 * What a shell needs to complete `permafrost`, and `npx permafrost` where nobody else completes npx. It asks the
 * program itself; what has been typed reaches it as arguments and is never evaluated.
 *
 * @param program the argv that it asks: absolute paths, so that it does not depend on where somebody stands.
 */
export function completionScript(shell: Shell, program: readonly string[]): string {
  switch (shell) {
    case 'bash':
      return bash(shellLine(program));
    case 'zsh':
      return zsh(shellLine(program));
    case 'fish':
      return fish(program.map(fishWord).join(' '));
  }
}

function bash(program: string): string {
  return `# bash completion for permafrost
_permafrost() {
  local line from=1
  COMPREPLY=()
  if [[ \${COMP_WORDS[0]##*/} == npx ]]; then
    [[ \${COMP_WORDS[1]} == permafrost && $COMP_CWORD -gt 1 ]] || return 0
    from=2
  fi
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o default 2>/dev/null
    else
      COMPREPLY+=("\${line%%$'\\t'*}")
    fi
  done < <(${program} completion words -- "\${COMP_WORDS[@]:from:COMP_CWORD-from+1}" 2>/dev/null)
}
complete -F _permafrost permafrost
complete -p npx >/dev/null 2>&1 || complete -o default -F _permafrost npx
`;
}

function zsh(program: string): string {
  return `#compdef permafrost
# zsh completion for permafrost
_permafrost() {
  local line
  local -a lines candidates
  local -i from=2
  if [[ \${words[1]:t} == npx ]]; then
    if [[ \${words[2]} != permafrost ]] || (( CURRENT < 3 )); then
      _files
      return
    fi
    from=3
  fi
  lines=("\${(@f)$(${program} completion words -- "\${(@)words[from,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
  for line in $lines; do
    if [[ $line == :files ]]; then
      compset -P '--*='
      _files
      return
    fi
    candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( \${#candidates} )) && _describe permafrost candidates
}
if [[ \${funcstack[1]} == _permafrost ]]; then
  _permafrost "$@"
else
  compdef _permafrost permafrost
  (( \${+_comps[npx]} )) || compdef _permafrost npx
fi
`;
}

function fish(program: string): string {
  return `# fish completion for permafrost
function __permafrost_words
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -e words[1]
    if test "$argv[1]" = npx
        set -e words[1]
    end
    for line in (${program} completion words -- $words "$current" 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
function __permafrost_by_npx
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test "$words[2]" = permafrost
end
complete -c permafrost -f -a '(__permafrost_words)'
complete -c npx -n __permafrost_by_npx -f -a '(__permafrost_words npx)'
`;
}

/** Within single quotes fish knows two escapes alone (fishshell.com/docs/current/language.html#quotes). */
function fishWord(word: string): string {
  return `'${word.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
