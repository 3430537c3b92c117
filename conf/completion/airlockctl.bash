# Completion of airlockctl for bash (and for zsh with bashcompinit). The program knows its own words.
_airlockctl() {
	local candidates
	candidates=$("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	COMPREPLY=()
	if [[ -n $candidates ]]; then
		while IFS= read -r word; do
			COMPREPLY+=("$word")
		done <<<"$candidates"
	fi
}
complete -o default -F _airlockctl airlockctl
