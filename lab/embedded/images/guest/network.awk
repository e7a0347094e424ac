# The network part of the NoCloud data as calls of ci_nic, ci_addr, ci_route, ci_dhcp, ci_dns. For busybox awk, after yaml.awk.
#
# NICs are called enp1s0, enp2s0, ... in PCI order, as KubeVirt's q35 guests have them. Version 2 (netplan) and version 1.

function network(file, nics,    i, n, root) {
	n = NICS = split(nics, KERNEL, " ")
	for (i = 1; i <= n; i++) {
		NAME[i] = "enp" i "s0"
		getline MAC[i] < ("/sys/class/net/" KERNEL[i] "/address")
		USED[i] = 0
	}
	if (!exists(file)) { no_config(); return }
	if (!y_parse(file)) { say("network-config: cannot read it, " Y_WHY "; no address is set"); rename_all(); return }
	root = (Yt["network"] == "map") ? "network" : ""
	if (Yt[root] != "map" || Yn[root] == 0) { no_config(); return }
	if (y_get(y_at(root, "version"), "") == "1") version1(root)
	else if (y_get(y_at(root, "version"), "") == "2" || Yt[y_at(root, "ethernets")] == "map") version2(root)
	else { say("network-config: wanted version 1 or 2, found " y_get(y_at(root, "version"), "none")); rename_all() }
}

# cloud-init's fallback: DHCP on the first NIC, nothing on the others.
function no_config() {
	rename_all()
	if (NICS) { print "ci_up " NAME[1] " ''"; print "ci_dhcp " NAME[1] }
}

function rename_all(    i) {
	for (i = 1; i <= NICS; i++) if (!USED[i]) print "ci_nic " KERNEL[i] " " q(NAME[i])
}

function here(    i, text) {
	for (i = 1; i <= NICS; i++) text = text (i > 1 ? ", " : "") NAME[i] " (" MAC[i] ")"
	return text == "" ? "none" : text
}

function by_mac(mac,    i) {
	for (i = 1; i <= NICS; i++) if (tolower(mac) == MAC[i]) return i
	return 0
}

# A shell pattern as an anchored regular expression.
function pattern(glob) {
	gsub(/[.+(){}^$|\\]/, "\\\\&", glob)
	gsub(/\*/, ".*", glob); gsub(/\?/, ".", glob)
	return "^" glob "$"
}

function by_name(name,    i) {
	for (i = 1; i <= NICS; i++) if (!USED[i] && (NAME[i] ~ pattern(name))) return i
	# Images booted with net.ifnames=0 call them eth0, eth1: data written for those mean the same NICs in the same order.
	if (name ~ /^eth[0-9]+$/) {
		i = substr(name, 4) + 1
		if (i <= NICS && !USED[i]) { NAME[i] = name; return i }
	}
	return 0
}

function take(i) {
	USED[i] = 1
	return NAME[i]
}

# Which NIC an entry of `ethernets` is about; 0 and a word on the console when there is none.
function match_nic(id, p,    m, i, mac, name) {
	m = y_at(p, "match"); mac = y_get(y_at(m, "macaddress"), ""); name = y_get(y_at(m, "name"), "")
	if (y_get(y_at(m, "driver"), "") != "") unsupported("network-config: match by driver (" id ")")
	if (mac != "") {
		i = by_mac(mac)
		if (i && name != "" && NAME[i] !~ pattern(name)) i = 0
	} else i = by_name(name != "" ? name : id)
	if (!i) { say("network-config: " id ": no NIC with " (mac != "" ? "MAC " mac : "name " (name != "" ? name : id)) " here; there are: " here()); return 0 }
	if (Yt[m] == "map" && y_get(y_at(p, "set-name"), "") != "") NAME[i] = Y[y_at(p, "set-name")]
	return i
}

function version2(root,    i, k, e, p, id, nic) {
	for (i = 0; i < Yn[root]; i++) {
		k = Yk[root, i]
		if (k !~ /^(version|ethernets|renderer)$/) unsupported("network-config: " k)
	}
	e = y_at(root, "ethernets")
	for (i = 0; i < Yn[e]; i++) {
		id = Yk[e, i]; p = y_at(e, id)
		nic = match_nic(id, p)
		if (nic) { take(nic); NIC_OF[i] = nic } else NIC_OF[i] = 0
	}
	# Renamed before any of them goes up: the kernel refuses later.
	for (i = 1; i <= NICS; i++) print "ci_nic " KERNEL[i] " " q(NAME[i])
	for (i = 0; i < Yn[e]; i++) if (NIC_OF[i]) ethernet(y_at(e, Yk[e, i]), Yk[e, i], NAME[NIC_OF[i]])
}

function ethernet(p, id, nic,    i, k, a, r, via, to) {
	for (i = 0; i < Yn[p]; i++) {
		k = Yk[p, i]
		if (k !~ /^(match|set-name|dhcp4|dhcp6|addresses|gateway4|gateway6|routes|nameservers|mtu|optional|accept-ra|macaddress)$/) unsupported("network-config: " id ": " k)
	}
	if (y_get(y_at(p, "macaddress"), "") != "") print "ci_mac " q(nic) " " q(Y[y_at(p, "macaddress")])
	if ("accept-ra" in Yt || y_at(p, "accept-ra") in Yt) print "ci_ra " q(nic) " " y_true(y_at(p, "accept-ra"), 1)
	print "ci_up " q(nic) " " q(y_get(y_at(p, "mtu"), ""))
	a = y_at(p, "addresses")
	for (i = 0; i < Yn[a]; i++) {
		if (Yt[y_at(a, i)] != "str") unsupported("network-config: " id ": address with options")
		else address(id, nic, Y[y_at(a, i)])
	}
	if (y_get(y_at(p, "gateway4"), "") != "") print "ci_route " q(nic) " default " q(Y[y_at(p, "gateway4")]) " ''"
	if (y_get(y_at(p, "gateway6"), "") != "") print "ci_route " q(nic) " default " q(Y[y_at(p, "gateway6")]) " ''"
	r = y_at(p, "routes")
	for (i = 0; i < Yn[r]; i++) route(id, nic, y_at(r, i))
	nameservers(y_at(p, "nameservers"))
	if (y_true(y_at(p, "dhcp6"), 0)) unsupported("network-config: " id ": dhcp6 (router advertisements are heeded)")
	if (y_true(y_at(p, "dhcp4"), 0)) print "ci_dhcp " q(nic)
}

function address(id, nic, text) {
	if (text !~ /^[0-9a-fA-F.:]+\/[0-9]+$/) say("network-config: " id ": wanted address/prefix, found " text)
	else print "ci_addr " q(nic) " " q(text)
}

function route(id, nic, p,    i, to, via) {
	for (i = 0; i < Yn[p]; i++) if (Yk[p, i] !~ /^(to|via|metric|on-link)$/) unsupported("network-config: " id ": routes: " Yk[p, i])
	to = y_get(y_at(p, "to"), ""); via = y_get(y_at(p, "via"), "")
	if (to == "0.0.0.0/0" || to == "::/0" || to == "0/0") to = "default"
	if (to == "") { say("network-config: " id ": a route without `to`"); return }
	print "ci_route " q(nic) " " q(to) " " q(via) " " q(y_get(y_at(p, "metric"), "")) " " y_true(y_at(p, "on-link"), 0)
}

function nameservers(p,    i, a) {
	a = y_at(p, "addresses")
	if (Yt[a] == "str") print "ci_dns " q(Y[a])
	for (i = 0; i < Yn[a]; i++) print "ci_dns " q(y_get(y_at(a, i), ""))
	a = y_at(p, "search")
	for (i = 0; i < Yn[a]; i++) print "ci_search " q(y_get(y_at(a, i), ""))
}

function version1(root,    c, i, p, type, nic, name) {
	c = y_at(root, "config")
	for (i = 0; i < Yn[c]; i++) {
		p = y_at(c, i); type = y_get(y_at(p, "type"), ""); name = y_get(y_at(p, "name"), "")
		NIC_OF[i] = 0
		if (type == "physical") {
			if (y_get(y_at(p, "mac_address"), "") != "") { nic = by_mac(Y[y_at(p, "mac_address")]); if (nic) NAME[nic] = name != "" ? name : NAME[nic] }
			else nic = by_name(name)
			if (nic) { take(nic); NIC_OF[i] = nic }
			else say("network-config: no NIC " name " " y_get(y_at(p, "mac_address"), "") " here; there are: " here())
		} else if (type == "nameserver") {
			if (Yt[y_at(p, "address")] == "str") print "ci_dns " q(Y[y_at(p, "address")])
			for (nic = 0; nic < Yn[y_at(p, "address")]; nic++) print "ci_dns " q(y_get(y_at(y_at(p, "address"), nic), ""))
		} else unsupported("network-config: version 1, type " type)
	}
	for (i = 1; i <= NICS; i++) print "ci_nic " KERNEL[i] " " q(NAME[i])
	for (i = 0; i < Yn[c]; i++) if (NIC_OF[i]) physical(y_at(c, i), NAME[NIC_OF[i]])
}

function physical(p, nic,    s, i, j, sub_, type, address_, list) {
	print "ci_up " q(nic) " " q(y_get(y_at(p, "mtu"), ""))
	s = y_at(p, "subnets")
	for (i = 0; i < Yn[s]; i++) {
		sub_ = y_at(s, i); type = y_get(y_at(sub_, "type"), "")
		if (type == "dhcp" || type == "dhcp4") print "ci_dhcp " q(nic)
		else if (type ~ /^static6?$/) {
			address_ = y_get(y_at(sub_, "address"), "")
			if (address_ !~ /\//) address_ = address_ "/" prefix(y_get(y_at(sub_, "netmask"), "255.255.255.0"))
			address(nic, nic, address_)
			if (y_get(y_at(sub_, "gateway"), "") != "") print "ci_route " q(nic) " default " q(Y[y_at(sub_, "gateway")]) " ''"
		} else unsupported("network-config: version 1, subnet of type " type)
		list = y_at(sub_, "dns_nameservers")
		if (Yt[list] == "str") print "ci_dns " q(Y[list])
		for (j = 0; j < Yn[list]; j++) print "ci_dns " q(y_get(y_at(list, j), ""))
		if (Yn[y_at(sub_, "routes")]) unsupported("network-config: version 1, routes of a subnet")
	}
}

# 255.255.255.0 -> 24; a number stays.
function prefix(mask,    n, part, i, bits, b) {
	if (mask ~ /^[0-9]+$/) return mask
	n = split(mask, part, ".")
	for (i = 1; i <= n; i++) for (b = part[i] + 0; b >= 1; b = int(b / 2)) bits += b % 2
	return bits
}
