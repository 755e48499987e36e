# Lists the VMs, and turns one off and on, as scripts on rbvmomi do; prints what it saw as JSON.

require 'json'
require 'rbvmomi'

host, port = ENV.fetch('VCENTER_HOST').split(':')
vim = RbVmomi::VIM.connect(
  host: host, port: port.to_i, user: ENV.fetch('VCENTER_USER'), password: ENV.fetch('VCENTER_PASSWORD'), insecure: true
)
about = vim.serviceContent.about
datacenter = vim.serviceInstance.find_datacenter(ENV.fetch('DATACENTER')) or abort 'no such datacenter'

view = vim.serviceContent.viewManager.CreateContainerView(
  container: vim.rootFolder, type: ['VirtualMachine'], recursive: true
)
# The collector's own way, as `collectMultiple` has it: one request for all.
facts = vim.propertyCollector.collectMultiple(view.view, 'name', 'runtime.powerState', 'config.hardware.device')
disks = facts.values.sum { |it| it['config.hardware.device'].grep(RbVmomi::VIM::VirtualDisk).size }
view.DestroyView

vm = datacenter.find_vm(ENV.fetch('VM')) or abort 'no such VM'
before = vm.runtime.powerState
vm.PowerOffVM_Task.wait_for_completion
off = vm.runtime.powerState
fault =
  begin
    vm.PowerOffVM_Task.wait_for_completion
  rescue RbVmomi::Fault => e
    e.fault.class.wsdl_name
  end
vm.PowerOnVM_Task.wait_for_completion
vm.ReconfigVM_Task(spec: { annotation: 'by rbvmomi' }).wait_for_completion
vm.CreateSnapshot_Task(name: 'first', memory: false, quiesce: false).wait_for_completion

puts JSON.generate(
  api: about.apiType,
  names: facts.values.map { |it| it['name'] }.sort,
  disks: disks,
  power: [before, off, vm.runtime.powerState],
  fault: fault,
  annotation: vm.config.annotation,
  snapshots: vm.snapshot.rootSnapshotList.map(&:name)
)
vim.close
