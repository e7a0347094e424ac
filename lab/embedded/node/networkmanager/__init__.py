"""NetworkManager on a node, real and only while somebody uses it.

A node without a user of it runs nothing of it: the agent listens where the system bus is on a real node, and the first
client (``nmcli``, in a debug pod or by hand) finds NetworkManager there with the machine NIC in its hands.  When it is
idle and has nothing to keep, the NIC goes back to the node's own DHCP client.
"""
