@localnet @needs:localnet @needs:kubevirt @needs:network:external
Feature: A virtual machine on the network behind br-ex, with an address by DHCP
  The documented localnet example. The policy maps a localnet to the bridge that carries the nodes' own external traffic
  and touches nothing of it; the VM has no pod network, so that only its console and the external network lead to it.

  @smoke
  Scenario: The policy is shown as documented
    Given the documented policy localnet-coe
    Then `oc get nncp,nnce` shows the policy localnet-coe as documented
      """
      NAME                                                     STATUS      REASON
      nodenetworkconfigurationpolicy.nmstate.io/localnet-coe   Available   SuccessfullyConfigured

      NAME                                                                      STATUS      STATUS AGE   REASON
      nodenetworkconfigurationenactment.nmstate.io/ocp1-worker-1.localnet-coe   Available   2s           SuccessfullyConfigured
      nodenetworkconfigurationenactment.nmstate.io/ocp1-worker-2.localnet-coe   Available   9s           SuccessfullyConfigured
      nodenetworkconfigurationenactment.nmstate.io/ocp1-worker-3.localnet-coe   Available   8s           SuccessfullyConfigured
      """

  @needs:migration
  Scenario: The documented Fedora VM gets a lease and keeps it over live migration; what it cannot do is named
    Given the documented policy localnet-coe
    And the project localnet-demo
    And a VM fedora on the network external through coe, with its documented login coe/redhat
    Then fedora has a lease of the network external
    And fedora reaches the gateway of the network external
    And fedora is not on the pod network, and its console answers
    When fedora migrates to another worker
    Then fedora kept its lease and its MAC address
    And fedora reaches the gateway of the network external
    And these commands print in fedora
      | command                                   | output  |
      | id -un                                    | coe     |
      | sudo -n id -un                            | root    |
      | id -nG \| grep -ow wheel                  | wheel   |
      | grep -o 'coe-muc$' ~/.ssh/authorized_keys | coe-muc |
    And fedora did these parts of its cloud-init data, or an event of it names them
      | part             | done when                 |
      | packages (httpd) | rpm -q httpd              |
      | runcmd           | systemctl is-active httpd |
