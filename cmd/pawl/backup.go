package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/pawlhq/pawl/internal/store/sqlite"
)

func backupCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy everything that Pawl keeps into a file, while it serves",
		Long: "Asks a running Pawl for everything it keeps, as it is at this moment, and writes\n" +
			"that into FILE. With --db it reads the store of a Pawl that is stopped. What was\n" +
			"written is checked before it gets its name.",
		Example: "pawl backup pawl-$(date +%F).db\npawl backup --db sqlite:pawl.db copy.db",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    backUp,
	}
	addClientFlags(c)
	addFlags(c.Flags(), modeDoctor)
	c.Flags().Lookup("db").Usage = "The store of a Pawl that is stopped, as sqlite:PATH; without it a running one is asked"
	c.Flags().Lookup("db").DefValue = ""
	c.Flags().Bool("force", false, "Replace FILE if it is there")
	return c
}

func backUp(c *cobra.Command, list []string) error {
	to := list[0]
	force, _ := c.Flags().GetBool("force")
	switch info, err := os.Stat(to); {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a directory; name a file in it, such as %s", to, filepath.Join(to, "pawl.db"))
	case strings.HasSuffix(to, string(filepath.Separator)):
		return fmt.Errorf("%s is the name of a directory; name a file", to)
	}
	if _, err := os.Lstat(to); err == nil && !force {
		return fmt.Errorf("there is a %s already; give --force to replace it, or choose another name", to)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeBackup(c, to); err != nil {
		return err
	}
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s is a whole backup, of %s. To go back to it: pawl restore %s\n",
		to, humanize.Bytes(uint64(max(info.Size(), 0))), to)
	return err
}

func writeBackup(c *cobra.Command, to string) error {
	if c.Flags().Changed("db") {
		path, err := storePath(c)
		if err != nil {
			return err
		}
		return sqlite.BackupOf(c.Context(), path, to)
	}
	cl, err := newClient(c)
	if err != nil {
		return err
	}
	return sqlite.WriteFile(to, func(f *os.File) error { return cl.download(c.Context(), "/v1/backup", f) })
}

// download asks for something that may be large.
func (c *client) download(ctx context.Context, path string, to io.Writer) error {
	resp, err := c.send(ctx, http.MethodPost, path, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(to, resp.Body); err != nil {
		return fmt.Errorf("the answer of %s ended early: %w; ask again", c.shown, err)
	}
	return nil
}

func restoreCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Go back to a backup",
		Long: "Puts a backup in the place of the store of a Pawl that is stopped. What happened\n" +
			"after the backup was made is not known any more: steps that ended since then run\n" +
			"again. Calls that were under way when the backup was made, or were sent since,\n" +
			"cannot report to the restored store.",
		Example: "pawl restore pawl-2026-03-01.db --db sqlite:pawl.db",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    restore,
	}
	addFlags(c.Flags(), modeDoctor)
	c.Flags().Bool("force", false, "Overwrite the store that is there")
	return c
}

func restore(c *cobra.Command, list []string) error {
	path, err := storePath(c)
	if err != nil {
		return err
	}
	var o sqlite.RestoreOptions
	o.Overwrite, _ = c.Flags().GetBool("force")
	if err := sqlite.Restore(c.Context(), list[0], path, o); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s is what it was when %s was made. Start Pawl on it: pawl serve --db sqlite:%s\n", path, list[0], path)
	return err
}
