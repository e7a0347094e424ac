# What the script made from the NoCloud data calls. Sourced by /init and by /usr/lib/virtlab/late.
#
# Nothing here may wait for the network: a guest without an answer from DHCP still has a console.

CI_LOG=/var/log/cloud-init-output.log
ci_hostname=localhost
ci_dhcp_nics=
ci_next_uid=1000

# To the console, and to a file that the host asks the agent for once all is done.
ci_said=/run/virtlab/saying
ci_say() { echo "cloud-init: $*"; echo "$*" >> "$ci_said"; }

# Mounts the disk labelled cidata or CIDATA. Read by hand, from the volume descriptor: busybox findfs knows no ISO 9660.
ci_find() {
	local block disk label
	for block in /sys/block/vd* /sys/block/sr*; do
		[ -e "$block" ] || continue
		disk=/dev/${block##*/}
		label=$(dd if="$disk" bs=8 skip=4101 count=4 2>/dev/null)
		case $label in
			cidata\ * | CIDATA\ * | cidata | CIDATA)
				mount -t iso9660 -o ro "$disk" /run/cidata && return
				ci_say "the disk $disk is labelled cidata, but cannot be mounted"
				;;
			config-2*) ci_say 'not supported here: the ConfigDrive data source; use cloudInitNoCloud' ;;
		esac
	done
}

# --- network ---------------------------------------------------------------------------------------------------------

ci_instance() { ci_instance_id=$1; }

ci_nic() { # kernel's name, wanted name
	[ "$1" = "$2" ] || ip link set "$1" name "$2" || ci_say "network: $1 could not be named $2"
}

ci_mac() { ip link set "$1" address "$2" || ci_say "network: $1 did not take the MAC $2"; }

ci_ra() { echo "$2" > "/proc/sys/net/ipv6/conf/$1/accept_ra"; }

ci_up() { # nic, mtu or nothing
	ip link set "$1" ${2:+mtu "$2"} up || ci_say "network: $1 does not go up${2:+ with mtu $2}"
}

ci_addr() {
	ip addr add "$2" dev "$1" || ci_say "network: $1 did not take the address $2"
}

ci_route() { # nic, destination or default, gateway or nothing, metric or nothing, on-link 0|1
	local gateway=$3
	[ "$5" = 1 ] && [ -n "$gateway" ] && ip route add "$gateway/32" dev "$1" 2>/dev/null
	ip route add "$2" ${gateway:+via "$gateway"} dev "$1" ${4:+metric "$4"} ||
		ci_say "network: no route to $2${gateway:+ via $gateway} on $1"
}

ci_dns() { echo "nameserver $1" >> /etc/resolv.conf; }
ci_search() { echo "search $1" >> /etc/resolv.conf; }

ci_dhcp() { ci_dhcp_nics="$ci_dhcp_nics $1"; }

# Started when the host name is known, since it is part of the request. -b and the endless tries: it never gives up.
ci_dhcp_start() {
	local nic
	[ "$ci_hostname" = localhost ] && echo localhost > /proc/sys/kernel/hostname
	for nic in $ci_dhcp_nics; do
		udhcpc -f -i "$nic" -s /usr/lib/virtlab/dhcp -p "/run/udhcpc.$nic.pid" -t 4 -T 1 -A 5 -O staticroutes -O mtu \
			-x "hostname:$ci_hostname" >/dev/null 2>&1 </dev/null &
	done
}

# --- early: names and files ------------------------------------------------------------------------------------------

ci_hostname() { # name or fqdn, fqdn or nothing
	local fqdn=$2
	case $1 in *.*) [ -n "$fqdn" ] || fqdn=$1 ;; esac
	ci_hostname=${1%%.*}
	echo "$ci_hostname" > /proc/sys/kernel/hostname
	echo "$ci_hostname" > /etc/hostname
	printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost\n' "${fqdn:+$fqdn }$ci_hostname" > /etc/hosts
}

ci_bootcmd() { sh -c "$1" 2>&1 || ci_say "bootcmd failed (status $?): $1"; }

ci_write() { # path, mode, owner, encoding, append 0|1, content
	local target=$1
	mkdir -p "${1%/*}/"
	[ "$5" = 1 ] || : > "$target" || { ci_say "write_files: cannot write $target"; return; }
	case $4 in
		text/plain) printf %s "$6" >> "$target" ;;
		b64 | base64) printf %s "$6" | base64 -d >> "$target" ;;
		gz+b64 | gz+base64 | gzip+b64 | gzip+base64) printf %s "$6" | base64 -d | gzip -dc >> "$target" ;;
		*) ci_say "not supported here: write_files: encoding $4 ($target)" ;;
	esac || ci_say "write_files: the content of $target is not $4"
	chmod "$2" "$target" || ci_say "write_files: $target did not take the mode $2"
	[ "$3" = root:root ] || chown "$3" "$target" || ci_say "write_files: $target did not take the owner $3 (defer: true waits for the users)"
}

# --- users -----------------------------------------------------------------------------------------------------------
# Files are edited by the shell itself: adduser would cost two programs more for each user.

ci_has() { # file, name
	local line
	while IFS= read -r line; do
		case $line in "$2":*) return 0 ;; esac
	done < "$1"
	return 1
}

ci_home() { # name -> $home, $uid
	local name rest gid gecos
	while IFS=: read -r name rest uid gid gecos home rest; do
		[ "$name" = "$1" ] && return 0
	done < /etc/passwd
	return 1
}

ci_user() { # name, uid, gecos, home, shell
	local name=$1 uid=$2 home=${4:-/home/$1} shell=/bin/sh
	case $name in
		*[!a-zA-Z0-9_.-]* | -* | '') ci_say "users: $name is no name a user can have; not made"; return ;;
	esac
	case $5 in
		'' | /bin/sh | /bin/ash) ;;
		*/nologin | */false) shell=/bin/false ;;
		*) ci_say "users: the shell of $name is /bin/sh (busybox ash) here, not $5" ;;
	esac
	ci_has /etc/passwd "$name" && return
	if [ -z "$uid" ]; then
		uid=$ci_next_uid
		ci_next_uid=$((ci_next_uid + 1))
	fi
	echo "$name:x:$uid:$uid:$3:$home:$shell" >> /etc/passwd
	echo "$name:!:19000:0:99999:7:::" >> /etc/shadow
	echo "$name:x:$uid:" >> /etc/group
	mkdir -p "$home"
	chmod 700 "$home"
	chown "$uid:$uid" "$home"
}

ci_groups() { # names with commas between
	local group IFS=', '
	for group in $1; do
		ci_has /etc/group "$group" && continue
		echo "$group:x:$ci_next_gid:" >> /etc/group
		ci_next_gid=$((ci_next_gid + 1))
	done
}
ci_next_gid=500

ci_groups_of() { # user, groups with commas between
	local group IFS=', '
	for group in $2; do
		[ "$group" = "$1" ] || ci_member "$1" "$group"
	done
}

ci_member() { # user, group
	local line text= found= IFS=
	while read -r line; do
		case $line in
			"$2":*:) line=$line$1 found=1 ;;
			"$2":*) line=$line,$1 found=1 ;;
		esac
		text="$text$line
"
	done < /etc/group
	if [ -z "$found" ]; then
		text="$text$2:x:$ci_next_gid:$1
"
		ci_next_gid=$((ci_next_gid + 1))
	fi
	printf %s "$text" > /etc/group
}

# /usr/bin/sudo may be run by this group only.
ci_sudo() { ci_member "$1" virtlab-sudo; }

ci_password() { # user, text|hash, password, locked 0|1
	local hash=$3 line text= found= IFS=
	[ "$2" = hash ] || hash=$(printf '%s\n' "$3" | mkpasswd -m sha512 -P 0)
	case $hash in
		'$1$'* | '$5$'* | '$6$'*) ;;
		*) [ "$2" = hash ] && ci_say "users: the password hash of $1 is not of type \$6\$, \$5\$ or \$1\$: the serial login will not know it" ;;
	esac
	[ "$4" = 1 ] && hash="!$hash"
	while read -r line; do
		case $line in "$1":*) line="$1:$hash:19000:0:99999:7:::" found=1 ;; esac
		text="$text$line
"
	done < /etc/shadow
	[ -n "$found" ] || ci_say "users: a password for $1, who does not exist"
	printf %s "$text" > /etc/shadow
}

ci_key() { # user, key
	local home uid
	[ -n "$2" ] || return
	ci_home "$1" || { ci_say "users: an SSH key for $1, who does not exist"; return; }
	if [ ! -d "$home/.ssh" ]; then
		mkdir -p "$home/.ssh"
		: > "$home/.ssh/authorized_keys"
		chmod 700 "$home/.ssh"
		chmod 600 "$home/.ssh/authorized_keys"
		chown -R "$uid:$uid" "$home/.ssh"
	fi
	printf '%s\n' "$2" >> "$home/.ssh/authorized_keys"
}

# The host key is made at the first connection (-R): some ms for ed25519.
ci_ssh() { # passwords 0|1, root by key 0|1
	local options=-R
	[ "$1" = 1 ] || options="$options -s"
	if [ "$2" = 1 ]; then options="$options -g"; else options="$options -w"; fi
	# devtmpfs has no folder for the pseudo terminals.
	mkdir -p /dev/pts
	mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
	dropbear $options </dev/null >/dev/null 2>&1
}

ci_ready() {
	local up rest
	read -r up rest < /proc/uptime
	echo "virtlab-guest: ready in $up s"
}

# --- late: in the background, when the guest is up -------------------------------------------------------------------

# Gathered in one script, as cloud-init does, so that a `cd` or a variable lasts.
ci_runcmd() {
	local script=/var/lib/cloud/instance/scripts/runcmd
	[ -e "$script" ] || { mkdir -p "${script%/*}"; printf '#!/bin/sh\n' > "$script"; chmod 700 "$script"; }
	printf '%s\n' "$1" >> "$script"
}

ci_script() {
	mkdir -p /var/lib/cloud/instance/scripts
	cat "$1" > /var/lib/cloud/instance/scripts/part-001
	chmod 700 /var/lib/cloud/instance/scripts/part-001
}

ci_final() { ci_final_message=$1; }
