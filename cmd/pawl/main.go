// Command pawl is the server and the tools around it: it reads its settings,
// opens an engine, puts a server in front, and drains both when it is told to
// stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"charm.land/fang/v2"
	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed = 1 // what was asked for did not work
	exitUsage  = 2 // it was asked for in a wrong way, or a check could not be made
)

// notChecked is why a check could not be made, which says neither yes nor no.
type notChecked struct{ error }

func (e notChecked) Unwrap() error { return e.error }

// usageError is a mistake in how pawl was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	steerGC()
	ctx, stop := untilSignal()
	err := fang.Execute(ctx, root(),
		fang.WithVersion(version()), fang.WithoutManpage(), fang.WithErrorHandler(printError))
	stop()
	var usage usageError
	var unchecked notChecked
	switch {
	case err == nil:
	case errors.As(err, &usage), errors.As(err, &unchecked):
		os.Exit(exitUsage)
	default:
		os.Exit(exitFailed)
	}
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. The
// second one ends the process.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed)
	}()
	return ctx, cancel
}

func printError(w io.Writer, _ fang.Styles, err error) {
	_, _ = fmt.Fprintln(w, "pawl:", err)
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "pawl",
		Short: "Durable functions that survive crashes, deploys and restarts",
		Long:  "Pawl runs durable functions written with the Inngest SDKs.\n\nStart with pawl dev next to your app.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("there is no command %q; pawl --help lists those there are", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; %s --help lists what there is", err, c.CommandPath())}
	})
	c.AddCommand(devCommand(), serveCommand(), sendCommand(), runsCommand(), whyCommand(), pauseCommand(), resumeCommand(), limitCommand(), dlqCommand(), auditCommand(), checkCommand(), doctorCommand(), backupCommand(), restoreCommand(), versionCommand())
	return c
}

// args turns a mistake in the number of arguments into a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, list []string) error {
		if err := check(c, list); err != nil {
			return usageError{fmt.Errorf("%s: %w; usage: %s", c.CommandPath(), err, c.UseLine())}
		}
		return nil
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "pawl", version())
			return err
		},
	}
}

// version is the module's, or the commit's when pawl was built from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
