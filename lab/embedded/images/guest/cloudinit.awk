# What the NoCloud data say, as a shell script for this guest. For busybox awk, after yaml.awk.
#
#   awk -f yaml.awk -f network.awk -f cloudinit.awk -v dir=/run/cidata -v nics="eth0 eth1" -v user=fedora
#
# Prints the functions ci_network, ci_early, ci_users, ci_late: calls of what cloudinit.sh defines, every word quoted.
# Rules follow cloud-init's documentation of each module. What is not done here is said by `ci_say`, never swallowed.

BEGIN {
	HOST = ""; KEYS = 0; PWAUTH = 0; ROOT_KEYS = 0
	print "ci_network() {\n:"
	metadata(dir "/meta-data")
	network(dir "/network-config", nics)
	print "}"
	userdata(dir "/user-data")
}

# One word for the shell.
function q(s,    n, i, part, out) {
	n = split(s, part, "'")
	out = part[1]
	for (i = 2; i <= n; i++) out = out "'\\''" part[i]
	return "'" out "'"
}

function say(text) { print "ci_say " q(text) }
function unsupported(what) { say("not supported here: " what) }

function exists(file,    line, there) {
	there = (getline line < file) >= 0
	close(file)
	return there
}

function metadata(file,    i, p, k) {
	if (!exists(file)) return
	if (!y_parse(file)) { say("meta-data: cannot read it, " Y_WHY); return }
	HOST = y_get("local-hostname", y_get("hostname", ""))
	INSTANCE = y_get("instance-id", "")
	if (INSTANCE != "") print "ci_instance " q(INSTANCE)
	p = "public-keys"
	if (Yt[p] == "str") add_keys(Y[p])
	for (i = 0; i < Yn[p]; i++) {
		k = y_at(p, Yk[p, i])
		add_keys(Yt[k] == "map" ? y_get(y_at(k, "openssh-key"), "") : y_get(k, ""))
	}
}

# Keys that go to the default user; one or more lines.
function add_keys(text,    n, i, line) {
	n = split(text, line, "\n")
	for (i = 1; i <= n; i++) if (line[i] != "") KEY_LIST[KEYS++] = line[i]
}

function userdata(file,    first) {
	first = ""
	if (exists(file)) { getline first < file; close(file) }
	sub(/[ \t\r]+$/, "", first)
	split("", Y); split("", Yt); split("", Yn); split("", Yk)
	SCRIPT = ""
	EARLY = ""
	if (first ~ /^#!/) SCRIPT = file
	else if (first ~ /^#cloud-config/) {
		if (!y_parse(file)) {
			EARLY = "user-data: cannot read it, " Y_WHY "; nothing of it is done"
			split("", Y); split("", Yt); split("", Yn); split("", Yk)
		} else if (Yt[""] != "map" && Yt[""] != "null") EARLY = "user-data: wanted `key: value` pairs, found a " Yt[""]
	} else if (first != "") {
		if (first ~ /^(Content-Type:|MIME-Version:|From )/) EARLY = "not supported here: user-data in several parts (MIME)"
		else if (first ~ /^(#include|#cloud-boothook|#part-handler|## template:|#upstart-job|#cloud-config-archive)/) EARLY = "not supported here: user-data of type " first
		else EARLY = "user-data: the first line must be #cloud-config or #!..., found: " substr(first, 1, 60)
	}
	print "ci_early() {\n:"
	if (EARLY != "") say(EARLY)
	names()
	hostname()
	commands("bootcmd", "ci_bootcmd")
	write_files(0)
	print "}\nci_users() {\n:"
	groups()
	users()
	passwords()
	if ("ssh_pwauth" in Yt) {
		if (tolower(Y["ssh_pwauth"]) == "unchanged") PWAUTH = 0
		else PWAUTH = y_true("ssh_pwauth", 0)
	}
	print "ci_ssh " PWAUTH " " ROOT_KEYS
	print "}\nci_late() {\n:"
	write_files(1)
	commands("runcmd", "ci_runcmd")
	if (SCRIPT != "") print "ci_script " q(SCRIPT)
	if (Yt["final_message"] == "str") print "ci_final " q(Y["final_message"])
	print "}"
}

# Names every key of the cloud-config that nothing here acts on.
function names(    i, k) {
	for (i = 0; i < Yn[""]; i++) {
		k = Yk["", i]
		if (k == "network") say("network: in user-data has no effect: it belongs into networkData")
		else if (k !~ /^(hostname|fqdn|prefer_fqdn_over_hostname|preserve_hostname|users|user|groups|password|chpasswd|ssh_authorized_keys|ssh_pwauth|disable_root|write_files|runcmd|bootcmd|final_message)$/)
			unsupported(k (k == "packages" ? texts(k) : ""))
	}
}

# " (a, b)": the texts of a list, for a message.
function texts(p,    i, out) {
	for (i = 0; i < Yn[p]; i++) out = out (i ? ", " : "") y_get(y_at(p, Yk[p, i]), "...")
	return out == "" ? "" : " (" out ")"
}

function hostname(    name, fqdn) {
	if (!y_true("preserve_hostname", 0)) { name = y_get("hostname", ""); fqdn = y_get("fqdn", "") }
	if (name == "") name = fqdn != "" ? fqdn : HOST
	if (name == "") return
	print "ci_hostname " q(name) " " q(fqdn)
}

# runcmd and bootcmd: a text is a line of shell, a list one command with its arguments.
function commands(key, verb,    i, j, p, line) {
	if (!(key in Yt) || Yt[key] == "null") return
	if (Yt[key] != "seq") { say(key ": wanted a list, found a " Yt[key] "; not done"); return }
	for (i = 0; i < Yn[key]; i++) {
		p = y_at(key, i); line = ""
		if (Yt[p] == "str") line = Y[p]
		else if (Yt[p] == "seq") {
			for (j = 0; j < Yn[p]; j++) line = line (j ? " " : "") q(y_get(y_at(p, j), ""))
		} else { if (Yt[p] == "map") say(key ": item " (i + 1) " is a map, wanted a text or a list; not done"); continue }
		print verb " " q(line)
	}
}

function write_files(deferred,    i, p, key, j) {
	key = "write_files"
	if (!(key in Yt) || Yt[key] == "null") return
	if (Yt[key] != "seq") { if (!deferred) say(key ": wanted a list, found a " Yt[key] "; not done"); return }
	for (i = 0; i < Yn[key]; i++) {
		p = y_at(key, i)
		if (y_true(y_at(p, "defer"), 0) != deferred) continue
		for (j = 0; j < Yn[p]; j++)
			if (Yk[p, j] !~ /^(path|content|owner|permissions|encoding|append|defer)$/) unsupported(key ": " Yk[p, j])
		if (y_get(y_at(p, "path"), "") !~ /^\//) { say(key ": item " (i + 1) " has no absolute path; not done"); continue }
		print "ci_write " q(Y[y_at(p, "path")]) " " q(y_get(y_at(p, "permissions"), "0644")) " " q(y_get(y_at(p, "owner"), "root:root")) \
			" " q(tolower(y_get(y_at(p, "encoding"), "text/plain"))) " " y_true(y_at(p, "append"), 0) " " q(y_get(y_at(p, "content"), ""))
	}
}

function groups(    i, p, j, g) {
	p = "groups"
	if (Yt[p] == "str") { print "ci_groups " q(Y[p]); return }
	for (i = 0; i < Yn[p]; i++) {
		g = y_at(p, Yk[p, i])
		if (Yt[g] == "str") print "ci_groups " q(Y[g])
		else for (j = 0; j < Yn[g]; j++) print "ci_groups " q(Yk[g, j])
	}
}

# The value of a user's key, which may also be spelt with dashes.
function attr(p, key,    dashed) {
	if (y_at(p, key) in Yt) return y_at(p, key)
	dashed = key; gsub(/_/, "-", dashed)
	return y_at(p, dashed)
}

function users(    i, p, list, any) {
	FIRST_USER = ""
	if (Yt["user"] == "str") user = Y["user"]
	else if (Yt["user"] == "map") user = y_get(y_at("user", "name"), user)
	if (!("users" in Yt) || Yt["users"] == "null") default_user()
	else if (Yt["users"] == "str") one_user("users", Y["users"])
	else if (Yt["users"] != "seq") say("users: wanted a list, found a " Yt["users"] "; not done")
	for (i = 0; i < Yn["users"]; i++) {
		p = y_at("users", i)
		if (Yt[p] == "str" && Y[p] == "default") default_user()
		else if (Yt[p] == "str") { if (Y[p] != "") one_user(p, Y[p]) }
		else if (y_get(y_at(p, "name"), "") != "") one_user(p, Y[y_at(p, "name")])
		else say("users: item " (i + 1) " has no name; not done")
	}
	if (FIRST_USER == "") FIRST_USER = "root"
	keys_of_default()
}

# As distributions' images have it: locked password, sudo without password.
function default_user() {
	DEFAULT_USER = user
	if (FIRST_USER == "") FIRST_USER = user
	print "ci_user " q(user) " '' '' '' ''"
	if (Yt["user"] == "map") user_details("user", user)
	else print "ci_groups_of " q(user) " 'wheel,adm'"
	if (!(attr("user", "sudo") in Yt) || Yt["user"] != "map") print "ci_sudo " q(user)
}

function one_user(p, name) {
	if (FIRST_USER == "") FIRST_USER = name
	print "ci_user " q(name) " " q(y_get(attr(p, "uid"), "")) " " q(y_get(y_at(p, "gecos"), "")) " " q(y_get(y_at(p, "homedir"), "")) " " q(y_get(y_at(p, "shell"), ""))
	if (Yt[p] == "map") user_details(p, name)
}

function user_details(p, name,    i, k, key, hash, plain, locked, g) {
	for (i = 0; i < Yn[p]; i++) {
		k = Yk[p, i]; gsub(/-/, "_", k)
		# People write it there: chpasswd is a module of its own, and cloud-init does not look for it in a user either.
		if (k == "chpasswd") say("users: chpasswd (of " name ") has no effect: it is a key of its own, not one of a user")
		else if (k !~ /^(name|uid|gecos|homedir|shell|passwd|hashed_passwd|plain_text_passwd|lock_passwd|sudo|groups|primary_group|ssh_authorized_keys|no_log_init|no_user_group|selinux_user|system)$/)
			unsupported("users: " k " (of " name ")")
	}
	key = attr(p, "groups"); g = y_get(key, "")
	for (i = 0; i < Yn[key]; i++) g = g (g == "" ? "" : ",") y_get(y_at(key, Yk[key, i]), "")
	if (y_get(attr(p, "primary_group"), "") != "") g = Y[attr(p, "primary_group")] (g == "" ? "" : ",") g
	if (g != "") print "ci_groups_of " q(name) " " q(g)
	# Locked unless told otherwise: then a password is stored but opens nothing, upstream's rule.
	locked = y_true(attr(p, "lock_passwd"), 1)
	plain = y_get(attr(p, "plain_text_passwd"), "")
	hash = y_get(attr(p, "hashed_passwd"), y_get(attr(p, "passwd"), ""))
	if (plain != "") print "ci_password " q(name) " text " q(plain) " " locked
	else if (hash != "") print "ci_password " q(name) " hash " q(hash) " " locked
	else if (!locked) say("users: lock_passwd: false for " name ", but no password: no login by password")
	if ((plain != "" || hash != "") && locked) say("users: the password of " name " is locked: lock_passwd: false would open it")
	sudo(p, name)
	key = attr(p, "ssh_authorized_keys")
	if (Yt[key] == "str") print "ci_key " q(name) " " q(Y[key])
	for (i = 0; i < Yn[key]; i++) print "ci_key " q(name) " " q(y_get(y_at(key, i), ""))
	if (name == "root" && Yn[key]) ROOT_KEYS = 1
}

function sudo(p, name,    key, i, rule) {
	key = attr(p, "sudo")
	if (Yt[key] == "str" && tolower(Y[key]) !~ /^(false|no|off)$/) sudo_rule(name, Y[key])
	for (i = 0; i < Yn[key]; i++) sudo_rule(name, y_get(y_at(key, i), ""))
}

function sudo_rule(name, rule) {
	if (rule ~ /NOPASSWD:[ ]*ALL[ ]*$/) print "ci_sudo " q(name)
	else if (rule ~ /ALL[ ]*$/) { print "ci_sudo " q(name); say("sudo of " name " does not ask for the password here: " rule) }
	else unsupported("sudo rules for single commands (of " name "): " rule)
}

function keys_of_default(    i, key, target) {
	key = "ssh_authorized_keys"
	if (Yt[key] == "str") add_keys(Y[key])
	for (i = 0; i < Yn[key]; i++) add_keys(y_get(y_at(key, i), ""))
	for (i = 0; i < KEYS; i++) {
		if (DEFAULT_USER != "") print "ci_key " q(DEFAULT_USER) " " q(KEY_LIST[i])
		if (("disable_root" in Yt) && !y_true("disable_root", 1)) { print "ci_key root " q(KEY_LIST[i]); ROOT_KEYS = 1 }
	}
	if (KEYS && DEFAULT_USER == "" && !ROOT_KEYS) say("there is no default user: its " KEYS " SSH key(s) go to nobody")
}

function passwords(    i, p, c, n, line, pair, expire) {
	c = "chpasswd"; expire = y_true(y_at(c, "expire"), 1)
	if ("password" in Yt) set_password(FIRST_USER, y_get("password", ""), "", expire)
	p = y_at(c, "list")
	if (Yt[p] == "str") {
		n = split(Y[p], line, "\n")
		for (i = 1; i <= n; i++) user_colon_password(line[i], expire)
	}
	for (i = 0; i < Yn[p]; i++) user_colon_password(y_get(y_at(p, i), ""), expire)
	c = y_at(c, "users")
	for (i = 0; i < Yn[c]; i++) {
		p = y_at(c, i)
		set_password(y_get(y_at(p, "name"), ""), y_get(y_at(p, "password"), ""), y_get(y_at(p, "type"), "hash"), expire)
	}
}

function user_colon_password(text,    at) {
	if (text == "") return
	at = index(text, ":")
	if (at < 2) say("chpasswd: wanted user:password, found: " text)
	else set_password(substr(text, 1, at - 1), substr(text, at + 1), "", expire)
}

function set_password(name, password, type, expire) {
	if (name == "" || password == "" || type == "RANDOM" || (type == "" && password ~ /^(R|RANDOM)$/)) { unsupported("chpasswd: random or empty passwords"); return }
	if (type == "") type = password ~ /^\$(1|2a|2y|5|6|y)\$.+\$/ ? "hash" : "text"
	print "ci_password " q(name) " " type " " q(password) " 0"
	if (expire) say("not supported here: chpasswd: expire: true (the password of " name " would have to be changed at the first login; it stays)")
}
