module inventory

go 1.22

require github.com/vmware/govmomi v0.46.3
