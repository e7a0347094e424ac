# A reader for the YAML that people write into cloud-init data, and for all of JSON. For busybox awk.
#
# y_parse(file) fills, for a node at path P (keys and indexes joined by Y_SEP, the root is ""):
#   Yt[P]     map, seq, str or null          Y[P]     the text of a str
#   Yn[P]     number of children             Yk[P, i] key of the i-th child of a map (from 0)
#   Yq[P]     1 when the str was quoted or a block, so that "null" or "true" are texts
# and returns 1; or 0 with Y_WHY naming the line. Understood: block and flow maps and sequences, plain (also
# over several lines), quoted and block scalars, comments, one document. Anchors, aliases, tags, complex
# keys and several documents are refused by name: a guess would be worse than a refusal.

BEGIN { Y_SEP = "\001" }

function y_fail(why) {
	if (!Y_ERR) { Y_ERR = 1; Y_WHY = "line " (P > LN ? LN : P) ": " why }
}

function y_parse(file,    line) {
	split("", Y); split("", Yt); split("", Yn); split("", Yk); split("", Yq); split("", L)
	LN = 0; P = 1; Y_ERR = 0; Y_WHY = ""
	while ((getline line < file) > 0) {
		sub(/\r$/, "", line)
		L[++LN] = line
	}
	close(file)
	sub(/^\357\273\277/, "", L[1])
	if (y_next() && L[P] ~ /^---[ \t]*(#.*)?$/) P++
	y_node("", -1)
	if (!Y_ERR && y_next() && L[P] !~ /^\.\.\.[ \t]*$/) {
		if (L[P] ~ /^---/) y_fail("a second document begins, only one is read")
		else y_fail("cannot place this: " L[P])
	}
	return !Y_ERR
}

# Moves P to the next line with content; 0 at the end.
function y_next() {
	while (P <= LN && L[P] ~ /^[ \t]*(#.*)?$/) P++
	return P <= LN && !Y_ERR
}

function y_indent(s) {
	match(s, /^ */)
	if (substr(s, RLENGTH + 1, 1) == "\t") y_fail("a tab in the indentation")
	return RLENGTH
}

function y_child(path, key,    n) {
	n = Yn[path]++
	Yk[path, n] = key
	return path == "" ? key : path Y_SEP key
}

function y_str(path, text, quoted) {
	if (!quoted && (text == "" || text == "~" || text ~ /^(null|Null|NULL)$/)) { Yt[path] = "null"; return }
	Yt[path] = "str"; Y[path] = text
	if (quoted) Yq[path] = 1
}

# Whether the text starts with `key:`; sets KEY and REST.
function y_key(t,    c, at) {
	c = substr(t, 1, 1)
	if (c == "\"" || c == "'") {
		match(t, c == "'" ? "^'([^']|'')*'[ \t]*:([ \t]|$)" : "^\"([^\"\\\\]|\\\\.)*\"[ \t]*:([ \t]|$)")
		if (RSTART == 0) return 0
		KEY = substr(t, 1, RLENGTH); REST = substr(t, RLENGTH + 1)
		sub(/[ \t]*:[ \t]?$/, "", KEY)
		KEY = substr(KEY, 2, length(KEY) - 2)
		if (c == "'") gsub(/''/, "'", KEY); else KEY = y_unescape(KEY)
		return 1
	}
	if (t ~ /^\?([ \t]|$)/) { y_fail("complex keys (?) are not understood"); return 0 }
	at = match(t, /:([ \t]|$)/)
	if (at < 2 || match(substr(t, 1, at), /[ \t]#/)) return 0
	KEY = substr(t, 1, at - 1); REST = substr(t, at + 1)
	sub(/[ \t]+$/, "", KEY)
	if (KEY ~ /^[&*!]/) { y_fail("anchors, aliases and tags are not understood"); return 0 }
	if (KEY == "<<") { y_fail("merge keys (<<) are not understood"); return 0 }
	return 1
}

function y_node(path, parent,    ind, t) {
	if (!y_next()) { if (!(path in Yt)) Yt[path] = "null"; return }
	ind = y_indent(L[P])
	if (ind <= parent) { Yt[path] = "null"; return }
	t = substr(L[P], ind + 1)
	if (t ~ /^-([ \t]|$)/) y_seq(path, ind)
	else if (t !~ /^[[{]/ && y_key(t)) y_map(path, ind)
	else y_value(path, t, parent)
}

function y_map(path, ind,    i, t, child, rest) {
	Yt[path] = "map"
	while (y_next()) {
		i = y_indent(L[P])
		if (i > ind) { y_fail("indented further than what is above it: " substr(L[P], i + 1)); return }
		t = substr(L[P], ind + 1)
		if (i < ind || (ind == 0 && t ~ /^(---|\.\.\.)/)) return
		if (t ~ /^[[{]/ || !y_key(t)) { y_fail("no `key: value`: " t); return }
		rest = REST
		if (((path == "" ? "" : path Y_SEP) KEY) in Yt) { y_fail("the key " KEY " is given twice"); return }
		child = y_child(path, KEY)
		if (rest !~ /^[ \t]*(#.*)?$/) { y_value(child, rest, ind); continue }
		P++
		# A sequence may stand as far left as the key it belongs to.
		if (y_next() && y_indent(L[P]) == ind && substr(L[P], ind + 1) ~ /^-([ \t]|$)/) y_seq(child, ind)
		else y_node(child, ind)
	}
}

function y_seq(path, ind,    child, rest) {
	Yt[path] = "seq"
	while (y_next() && y_indent(L[P]) == ind && substr(L[P], ind + 1) ~ /^-([ \t]|$)/) {
		child = y_child(path, Yn[path] + 0)
		rest = substr(L[P], ind + 2)
		if (rest ~ /^[ \t]*(#.*)?$/) P++
		else {
			# "- x" is x standing by itself, that much further right.
			if (rest ~ /^ *\t/) { y_fail("a tab in the indentation"); return }
			L[P] = sprintf("%" (ind + 1) "s", "") rest
		}
		y_node(child, ind)
	}
	if (y_next() && y_indent(L[P]) > ind) y_fail("indented further than the list above it: " L[P])
}

# The value that begins at text t of line P and may go on below it.
function y_value(path, t, parent,    c) {
	sub(/^[ \t]+/, "", t)
	c = substr(t, 1, 1)
	if (c == "|" || c == ">") { y_block(path, t, parent); return }
	if (c == "&" || c == "*" || c == "!") { y_fail("anchors, aliases and tags are not understood: " t); return }
	if (c == "%" || c == "@" || c == "`") { y_fail("a plain text cannot begin with " c); return }
	if (c != "[" && c != "{" && c != "\"" && c != "'") { y_plain(path, t, parent); return }
	F = t; FP = 1
	y_flow(path)
	if (!Y_ERR && substr(F, FP) !~ /^[ \t]*$/ && substr(F, FP) !~ /^[ \t]+#/) y_fail("cannot read what follows: " substr(F, FP))
	P++
}

function y_uncomment(s) {
	if (match(s, /(^|[ \t])#/)) s = substr(s, 1, RSTART - 1)
	sub(/^[ \t]+/, "", s); sub(/[ \t]+$/, "", s)
	return s
}

function y_plain(path, t, parent,    text, blank, more, comment) {
	comment = t ~ /[ \t]#/
	text = y_uncomment(t)
	if (text ~ /:([ \t]|$)/) { y_fail("`: ` in a plain text, put it in quotes: " text); return }
	for (P++; P <= LN && !comment; P++) {
		if (L[P] ~ /^[ \t]*$/) { blank++; continue }
		if (y_indent(L[P]) <= parent || L[P] ~ /^[ \t]*#/ || L[P] ~ /^(---|\.\.\.)/) break
		more = y_uncomment(L[P])
		if (more ~ /:([ \t]|$)/) { y_fail("indented further than what is above it: " more); return }
		comment = L[P] ~ /[ \t]#/
		while (blank > 0) { text = text "\n"; if (--blank == 0) { text = text more; more = "" } }
		if (more != "") text = text " " more
	}
	y_str(path, text, 0)
}

function y_block(path, t, parent,    style, keep, strip, fixed, ind, text, i, n, line, last, prev, lines) {
	if (t !~ /^[|>]([+-]?[1-9]?|[1-9][+-])[ \t]*([ \t]#.*)?$/) { y_fail("not a block header: " t); return }
	style = substr(t, 1, 1); sub(/[ \t].*/, "", t)
	keep = t ~ /\+/; strip = t ~ /-/
	if (match(t, /[1-9]/)) fixed = (parent < 0 ? 0 : parent) + substr(t, RSTART, 1)
	ind = fixed
	for (P++; P <= LN; P++) {
		line = L[P]
		if (line ~ /^ *$/) { lines[++n] = ind && length(line) > ind ? substr(line, ind + 1) : ""; continue }
		match(line, /^ */)
		if (!ind) { if (RLENGTH <= parent) break; ind = RLENGTH }
		if (RLENGTH < ind) break
		lines[++n] = substr(line, ind + 1); last = n
	}
	for (i = 1; i <= last; i++) {
		if (i == 1) { text = lines[1]; continue }
		prev = lines[i - 1]
		if (style == "|" || lines[i] ~ /^[ \t]/ || prev ~ /^[ \t]/) text = text "\n" lines[i]
		else if (lines[i] == "") text = text "\n"
		else text = text (prev == "" ? "" : " ") lines[i]
	}
	if (!strip && last) text = text "\n"
	if (keep) for (i = last + 1; i <= n; i++) text = text "\n"
	y_str(path, text, 1)
}

# --- flow style and quotes: characters F from FP on, going to further lines as needed -------------------------------

function y_ws() {
	while (!Y_ERR) {
		if (match(substr(F, FP), /^[ \t]+/)) FP += RLENGTH
		if (FP <= length(F) && !(substr(F, FP, 1) == "#" && (FP == 1 || substr(F, FP - 1, 1) ~ /[ \t]/))) return
		if (P >= LN) { y_fail("the text ends inside a bracket or a quote"); return }
		F = L[++P]; FP = 1
	}
}

function y_flow(path,    c, rest, key) {
	y_ws(); c = substr(F, FP, 1)
	if (Y_ERR) return
	if (c == "[") { y_flow_list(path); return }
	if (c == "{") { y_flow_map(path); return }
	if (c == "\"" || c == "'") { FP++; y_str(path, y_quoted(c), 1); return }
	if (c == "&" || c == "*" || c == "!") { y_fail("anchors, aliases and tags are not understood"); return }
	y_str(path, y_flow_plain(), 0)
}

function y_flow_plain(    rest, text) {
	rest = substr(F, FP)
	match(rest, /([][{},]|:[ \t,}]|:]|:$|[ \t]#)/)
	text = RSTART ? substr(rest, 1, RSTART - 1) : rest
	FP += length(text)
	sub(/[ \t]+$/, "", text)
	return text
}

function y_flow_list(path) {
	Yt[path] = "seq"; FP++
	while (!Y_ERR) {
		y_ws()
		if (substr(F, FP, 1) == "]") { FP++; return }
		y_flow(y_child(path, Yn[path] + 0))
		y_ws()
		if (Y_ERR) return
		if (substr(F, FP, 1) == ",") FP++
		else if (substr(F, FP, 1) != "]") y_fail("wanted , or ] at: " substr(F, FP))
	}
}

function y_flow_map(path,    c, key, child) {
	Yt[path] = "map"; FP++
	while (!Y_ERR) {
		y_ws(); c = substr(F, FP, 1)
		if (c == "}") { FP++; return }
		if (c == "\"" || c == "'") { FP++; key = y_quoted(c) }
		else key = y_flow_plain()
		if (Y_ERR) return
		if (key == "") { y_fail("wanted a key at: " substr(F, FP)); return }
		if (((path == "" ? "" : path Y_SEP) key) in Yt) { y_fail("the key " key " is given twice"); return }
		child = y_child(path, key)
		y_ws()
		if (substr(F, FP, 1) == ":") {
			FP++; y_ws()
			if (substr(F, FP, 1) ~ /[,}]/) Yt[child] = "null"
			else y_flow(child)
			y_ws()
		} else Yt[child] = "null"
		if (Y_ERR) return
		c = substr(F, FP, 1)
		if (c == ",") FP++
		else if (c != "}") y_fail("wanted , or } at: " substr(F, FP))
	}
}

# The text up to the closing quote q; FP stands after the opening one.
function y_quoted(q,    text, rest, c) {
	for (;;) {
		rest = substr(F, FP)
		if (match(rest, q == "'" ? "'" : "[\"\\\\]")) {
			text = text substr(rest, 1, RSTART - 1)
			FP += RSTART
			c = substr(rest, RSTART, 1)
			if (c == "\\") {
				if (FP > length(F)) { if (!y_fold()) return text; continue }
				text = text y_escape()
			} else if (q == "'" && substr(F, FP, 1) == "'") { text = text "'"; FP++ }
			else return text
			continue
		}
		sub(/[ \t]+$/, "", rest)
		text = text rest
		if (!y_fold()) return text
		rest = 0
		while (L[P] ~ /^[ \t]*$/ && P < LN) { rest++; text = text "\n"; P++ }
		F = L[P]; sub(/^[ \t]+/, "", F); FP = 1
		if (!rest) text = text " "
	}
}

function y_fold() {
	if (P >= LN) { y_fail("a quote is never closed"); return 0 }
	F = L[++P]; sub(/^[ \t]+/, "", F); FP = 1
	return 1
}

# One escape of a double-quoted text; FP stands after the backslash.
function y_escape(    c, hex, code) {
	c = substr(F, FP++, 1)
	if (c == "n") return "\n"
	if (c == "t") return "\t"
	if (c == "r") return "\r"
	if (c == "e") return "\033"
	if (c == "b") return "\b"
	if (c == "f") return "\f"
	if (c == "0") { y_fail("a NUL in a text"); return "" }
	if (c != "x" && c != "u" && c != "U") {
		if (c !~ /["\\\/ '_]/) y_fail("unknown escape \\" c)
		return c
	}
	hex = substr(F, FP, c == "x" ? 2 : c == "u" ? 4 : 8)
	FP += length(hex)
	if (hex ~ /[^0-9a-fA-F]/ || hex == "") { y_fail("unknown escape \\" c hex); return "" }
	code = y_hex(hex)
	# JSON writes what lies above U+FFFF as two halves.
	if (code >= 55296 && code < 56320 && substr(F, FP, 2) == "\\u") {
		code = 65536 + (code - 55296) * 1024 + y_hex(substr(F, FP + 2, 4)) - 56320
		FP += 6
	}
	return y_utf8(code)
}

function y_unescape(s,    keep_f, keep_fp, text) {
	if (s !~ /\\/) return s
	keep_f = F; keep_fp = FP
	F = s "\""; FP = 1; text = y_quoted("\"")
	F = keep_f; FP = keep_fp
	return text
}

function y_hex(s,    i, n) {
	for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
	return n
}

function y_utf8(c) {
	if (c == 0) { y_fail("a NUL in a text"); return "" }
	if (c < 128) return sprintf("%c", c)
	if (c < 2048) return y_byte(192 + int(c / 64)) y_byte(128 + c % 64)
	if (c < 65536) return y_byte(224 + int(c / 4096)) y_byte(128 + int(c / 64) % 64) y_byte(128 + c % 64)
	return y_byte(240 + int(c / 262144)) y_byte(128 + int(c / 4096) % 64) y_byte(128 + int(c / 64) % 64) y_byte(128 + c % 64)
}

function y_byte(n) { return sprintf("%c", n) }

# --- for those who ask ----------------------------------------------------------------------------------------------

function y_at(path, key) { return path == "" ? key : path Y_SEP key }

# The text at a path, or the default when there is none.
function y_get(path, otherwise) { return Yt[path] == "str" ? Y[path] : otherwise }

# YAML 1.1 truth, as cloud-init has it (and the texts "true" and "1").
function y_true(path, otherwise) {
	if (Yt[path] != "str") return otherwise
	return tolower(Y[path]) ~ /^(true|yes|on|1)$/
}

# All nodes as lines, for tests: path, type and text with \n spelt out.
function y_dump(path, shown,    i, text) {
	text = Y[path]
	# Not by gsub: what a backslash is in its replacement differs from busybox 1.36 to 1.37.
	while (match(text, /\n/)) text = substr(text, 1, RSTART - 1) "\\n" substr(text, RSTART + 1)
	print shown "\t" Yt[path] "\t" (Yt[path] == "str" ? text : Yn[path] + 0)
	if (Yt[path] == "map" || Yt[path] == "seq")
		for (i = 0; i < Yn[path]; i++) y_dump(y_at(path, Yk[path, i]), shown "/" Yk[path, i])
}
