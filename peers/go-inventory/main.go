// Command inventory reads five properties of all virtual machines the way govmomi's own examples do, and prints how
// many there are and a checksum of the values. It is the peer that `cargo xtask bench inventory` measures beside ours.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
)

var properties = []string{
	"name",
	"runtime.powerState",
	"summary.config.numCpu",
	"summary.config.memorySizeMB",
	"summary.config.guestFullName",
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	server := &url.URL{
		Scheme: "https",
		Host:   os.Getenv("VCENTER_HOST"),
		Path:   "/sdk",
		User:   url.UserPassword(os.Getenv("VCENTER_USER"), os.Getenv("VCENTER_PASSWORD")),
	}
	client, err := govmomi.NewClient(ctx, server, os.Getenv("VCENTER_INSECURE") == "true")
	if err != nil {
		return err
	}

	container, err := view.NewManager(client.Client).
		CreateContainerView(ctx, client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		return err
	}
	var machines []mo.VirtualMachine
	if err := container.Retrieve(ctx, []string{"VirtualMachine"}, properties, &machines); err != nil {
		return err
	}

	checksum := int64(0)
	for _, machine := range machines {
		config := machine.Summary.Config
		checksum += int64(len(machine.Name) + len(machine.Runtime.PowerState) + len(config.GuestFullName))
		checksum += int64(config.NumCpu) + int64(config.MemorySizeMB)
	}
	fmt.Println(len(machines), checksum)

	if err := container.Destroy(ctx); err != nil {
		return err
	}
	return client.Logout(ctx)
}
