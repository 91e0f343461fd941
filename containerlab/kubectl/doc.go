// Package kubectl tests the plugin of kubectl with the real kubectl, API server and daemons: nothing else reaches Pods by
// way of the API server's proxy.
package kubectl
