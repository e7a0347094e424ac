@bonding @needs:workers>=2 @needs:localnet @needs:bond:bond1 @needs:vlan:2024
Feature: A bond of two NICs below the VLANs of virtual machines
  The documented bonding-policy makes bond1 in LACP mode and nothing over it: alone it carries no packet. Here a bridge
  with a VLAN of virtual machines has it as its only uplink. Each worker has two pods in that VLAN. They ping the gateway
  all the time, and fetch data from those on the next worker in many flows at once; the packets of each NIC are counted.

  Scenario: LACP is negotiated with the switch on every worker
    Given the documented policy bonding-policy
    Then the policy bonding-policy is Available on every worker
    And bond1 is reported in mode 802.3ad over its two NICs on every worker
    And bond1 has negotiated LACP with one switch over both NICs on every worker

  @needs:faults
  Scenario: Traffic survives the loss of either link of the bond, and uses both again afterwards
    Given the documented policy bonding-policy
    And VLAN 2024 is carried over bond1 on every worker
    And pings go on over bond1 from every worker to the gateway
    When the first NIC of bond1 loses its link on every worker
    Then flows between the workers pass over the NIC of bond1 that is left
    When all NICs of bond1 are back
    And the second NIC of bond1 loses its link on every worker
    Then flows between the workers pass over the NIC of bond1 that is left
    When all NICs of bond1 are back
    Then flows between the workers pass over both NICs of bond1
    And no ping over bond1 was silent for longer than a failover may take

  @needs:faults
  Scenario: With both links lost a worker is cut off, and the finding names it and the bond
    Given the documented policy bonding-policy
    And VLAN 2024 is carried over bond1 on every worker
    When both NICs of bond1 lose their link on one worker
    Then that worker gets no answer over bond1, and the finding names both
    But the other workers get answers over bond1

  @needs:faults
  Scenario: Traffic survives a switch that stops LACP on either link of the bond
    The link stays up and passes nothing. With the documented policy half of the flows are lost for up to 90 s, since
    the rate of LACP is slow by default; with the fast rate for 3 s.

    Given the policy bonding-policy is applied with fast LACP
    And VLAN 2024 is carried over bond1 on every worker
    And pings go on over bond1 from every worker to the gateway
    When the switch suspends the first NIC of bond1 on every worker
    Then flows between the workers pass over the NIC of bond1 that is left
    When all NICs of bond1 are back
    And the switch suspends the second NIC of bond1 on every worker
    Then flows between the workers pass over the NIC of bond1 that is left
    When all NICs of bond1 are back
    Then flows between the workers pass over both NICs of bond1
    And no ping over bond1 was silent for longer than LACP's fast timeout and a failover

  @needs:faults @needs:bond:bond3 @needs:vlan:1993
  Scenario: An active-backup bond uses one link, and the other when that is lost
    Given VLAN 1993 is carried over bond3 on every worker
    And pings go on over bond3 from every worker to the gateway
    Then bond3 is reported in mode active-backup over its two NICs on every worker
    When the first NIC of bond3 loses its link on every worker
    Then flows between the workers pass over the NIC of bond3 that is left
    When all NICs of bond3 are back
    And the second NIC of bond3 loses its link on every worker
    Then flows between the workers pass over the NIC of bond3 that is left
    When all NICs of bond3 are back
    Then flows between the workers pass over one NIC of bond3 alone
    And no ping over bond3 was silent for longer than a failover may take
