@traffic @localnet @needs:workers>=3 @needs:localnet @needs:migration @needs:bond:bond2 @needs:vlan:2024 @needs:outside:vlan-2024
@needs:ssh
Feature: What a migration does to traffic
  Pings every 10 ms, a TCP stream with numbered records both ways and an SSH session run while VMs move. Every figure
  comes from packets, and lies on one clock with the phases of the migration.

  Scenario: Traffic lives through the move of a VM, and through that of its peer
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And VMs vm-a and vm-b on VLAN 2024 on different workers
    And the gateway of VLAN 2024 pings vm-a all the time
    And vm-b pings vm-a all the time
    And a TCP session is open between vm-b and vm-a
    And an SSH session is open to vm-a
    When vm-a migrates to another worker under this traffic
    Then the longest gap is under 1 second
    And the TCP session survived
    And the SSH session survived
    And vm-a kept its address
    When vm-b migrates to another worker under this traffic
    Then no gap is longer than the target allows
    And the TCP session survived
    And vm-b kept its address

  @needs:drain
  Scenario: A cancelled migration leaves traffic and VM as they are, and a drain takes the VM along with its traffic
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And migrations may send 24Mi per second
    And the gateway of VLAN 2024 pings vm-a all the time
    And a TCP session is open between the gateway of VLAN 2024 and vm-a
    When a migration of vm-a is cancelled in the middle under this traffic
    Then the longest gap is under 1 second
    And the TCP session survived
    And vm-a is still on the worker where it was
    When the worker of vm-a is drained of it under this traffic
    Then the longest gap is under 1 second
    And the TCP session survived
    And vm-a has left that worker
    And vm-a kept its address

  Scenario: Every kind of probe sees its packets, over IPv4 and IPv6
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And VMs vm-a and vm-b on VLAN 2024 on different workers
    Then vm-a connects to TCP port 22 of vm-b
    And vm-a knows vm-b by its own MAC address
    And vm-a reaches the outside host of VLAN 2024 over IPv6
    And vm-a knows the outside host of VLAN 2024 by its own MAC address over IPv6
    And packets of 1500 bytes pass from vm-a to vm-b in one piece
    And vm-a sends more than 1 Mbit/s to vm-b over TCP
    And vm-a gets an answer over UDP from the gateway of VLAN 2024
    And vm-a gets an answer over HTTP from the outside host of VLAN 2024
    And vm-a gets an answer over DNS from the outside host of VLAN 2024
    Given the outside host of VLAN 2024 listens for announcements of vm-a
    When vm-a migrates to another worker
    Then the fabric learned by an announcement where vm-a is

  Scenario: A VM joins its peer on a worker, then both leave it at the same time
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And a VM vm-b on VLAN 2024
    And vm-b is on another worker than vm-a
    And vm-b pings vm-a all the time
    And vm-a pings the gateway of VLAN 2024 all the time
    And a TCP session is open between vm-b and vm-a
    When vm-b migrates to the worker of vm-a under this traffic
    Then the longest gap is under 2 seconds
    And the TCP session survived
    When vm-a and vm-b migrate at the same time under this traffic
    Then they were on their way at the same time
    And the longest gap is under 3 seconds
    And the TCP session survived
    And vm-a kept its address
    And vm-b kept its address

  Scenario: A VM that keeps writing to its memory moves, no faster than a policy allows, and loses nothing
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And vm-a keeps writing to 8 MiB of its memory
    And migrations may slow the guest down, and send 32Mi per second
    And the gateway of VLAN 2024 pings vm-a all the time
    When vm-a migrates to another worker under this traffic
    Then vm-a was sent at no more than 32Mi per second
    And the migration was made by pre-copy with auto-converge
    And the longest gap is under 3 seconds
    And vm-a reads from its memory what it wrote

  Scenario: A VM that keeps writing to its memory goes first, and its memory follows
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And vm-a keeps writing to 8 MiB of its memory
    And migrations may go on by post-copy after 1 s, and send 16Mi per second
    And the gateway of VLAN 2024 pings vm-a all the time
    When vm-a migrates under this traffic, where the workers can do post-copy
    Then the migration was made by post-copy
    And the longest gap is under 3 seconds
    And vm-a reads from its memory what it wrote
