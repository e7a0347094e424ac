@pod_network @needs:workers>=3 @needs:kubevirt @needs:ovn
Feature: Virtual machines on the pod network, which keep their address over live migrations
  A VM that is bridged to the pod network may be migrated only with an annotation, and then takes its pod address along
  to a node whose subnet is another. So every OVN zone needs one route to that one address. A release of OVN-Kubernetes
  left a second one behind (OCPBUGS-27215): about half of all connections were dead, for ever the same ones, and a
  ping was all or nothing. So many connections are tried from every zone, and the routes of every zone are read.

  @needs:migration @needs:outside:outside
  Scenario: VM on the pod network is reached from every zone, wherever it has moved
    Given a pod on every worker
    And a VM vm-p on the pod network
    Then vm-p reaches the outside host outside
    And vm-p reaches a pod in every zone
    And vm-p is reached from every zone
    When vm-p migrates to a worker it has not been on
    Then vm-p is reached from every zone
    And every OVN zone routes vm-p to its node
    When vm-p migrates to a worker it has not been on
    Then vm-p is reached from every zone
    And every OVN zone routes vm-p to its node
    And vm-p reaches the outside host outside
    And vm-p reaches a pod in every zone
    When vm-p migrates back to the worker it was on before
    Then vm-p is reached from every zone
    And every OVN zone routes vm-p to its node
    When vm-p migrates back to the worker it started on
    Then vm-p is reached from every zone
    And every OVN zone routes vm-p to its node
    When vm-p migrates to another worker
    Then vm-p is reached from every zone
    And every OVN zone routes vm-p to its node
    And vm-p reaches the outside host outside
    And vm-p has been on 3 workers and kept its pod address

  Scenario: VM on the pod network without the annotation stays where it is
    Given a VM vm-q on the pod network
    Then vm-q is not migratable, since it "does not use masquerade"
    And a migration of vm-q is refused, since it "does not use masquerade"
