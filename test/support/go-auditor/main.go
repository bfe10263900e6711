// Command go-auditor reads what Portcullis publishes with golang.org/x/mod/sumdb, which verifies Go's own checksum
// database: an implementation of signed notes and of the tree that has nothing in common with ours.
//
//	go-auditor checkpoint VKEY FILE      a signed checkpoint; prints its size
//	go-auditor receipt VKEY FILE         a receipt; prints the leaf's opening
//	go-auditor follow VKEY URL KEPT      the checkpoint served at URL extends the one kept in a file, by the tiles there
//	go-auditor proofs < lines of JSON    whether each of them holds, a line of JSON for each
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	commands := map[string]func(args []string) (string, error){
		"checkpoint": checkpoint, "receipt": receipt, "follow": follow, "proofs": proofs,
	}
	said, err := commands[os.Args[1]](os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}

// open verifies a note under its log's key; the text is C2SP's: origin, size, root.
func open(vkey string, signed []byte) (tree tlog.Tree, err error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, errors.New("not a checkpoint of this log")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func checkpoint(args []string) (string, error) {
	signed, err := os.ReadFile(args[1])
	if err != nil {
		return "", err
	}
	tree, err := open(args[0], signed)
	return fmt.Sprint(tree.N), err
}

// receipt reads C2SP's tlog-proof; its extra line is the leaf.
func receipt(args []string) (string, error) {
	text, err := os.ReadFile(args[1])
	if err != nil {
		return "", err
	}
	proof, signed, _ := strings.Cut(string(text), "\n\n")
	tree, err := open(args[0], []byte(signed))
	if err != nil {
		return "", err
	}
	lines := strings.Split(proof, "\n")
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return "", err
	}
	var leaf struct {
		At            int64
		Salt, Opening string
	}
	if err := json.Unmarshal(extra, &leaf); err != nil {
		return "", err
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	if err != nil {
		return "", err
	}
	var path tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return "", err
		}
		path = append(path, hash)
	}
	salt, err := base64.StdEncoding.DecodeString(leaf.Salt)
	if err != nil {
		return "", err
	}
	commitment := sha256.Sum256(append(salt, leaf.Opening...))
	entry := fmt.Sprintf("portcullis/leaf/v1\n%d\n%d\n%s\n", index, leaf.At,
		base64.StdEncoding.EncodeToString(commitment[:]))
	return leaf.Opening, tlog.CheckRecord(path, tree.N, tree.Hash, index, tlog.RecordHash([]byte(entry)))
}

// served are C2SP's tiles: of a height that their path does not name.
type served struct{ url string }

func (served) Height() int { return 8 }

func (s served) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var data [][]byte
	for _, tile := range tiles {
		bytes, err := get(s.url + strings.Replace(tile.Path(), "tile/8/", "/tile/", 1))
		if err != nil {
			return nil, err
		}
		data = append(data, bytes)
	}
	return data, nil
}

func (served) SaveTiles([]tlog.Tile, [][]byte) {}

func get(url string) ([]byte, error) {
	answer, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	return io.ReadAll(answer.Body)
}

func follow(args []string) (string, error) {
	vkey, url := args[0], args[1]
	kept, err := os.ReadFile(args[2])
	if err != nil {
		return "", err
	}
	old, err := open(vkey, kept)
	if err != nil {
		return "", err
	}
	signed, err := get(url + "/checkpoint")
	if err != nil {
		return "", err
	}
	tree, err := open(vkey, signed)
	if err != nil {
		return "", err
	}
	// What this reader gives out has been held against the root.
	reader := tlog.TileHashReader(tree, served{url})
	if root, err := tlog.TreeHash(tree.N, reader); err != nil || root != tree.Hash {
		return "", fmt.Errorf("the tiles have another root: %v", err)
	}
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(tree.N), tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
}

func proofs([]string) (string, error) {
	var said []string
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var proof struct {
			Path      []tlog.Hash
			Size      int64
			Root      tlog.Hash
			Of        int64 // an entry's index, or an older tree's size
			Hash      tlog.Hash
			Inclusion bool
		}
		if err := json.Unmarshal(lines.Bytes(), &proof); err != nil {
			return "", err
		}
		var err error
		if proof.Inclusion {
			err = tlog.CheckRecord(proof.Path, proof.Size, proof.Root, proof.Of, proof.Hash)
		} else {
			err = tlog.CheckTree(proof.Path, proof.Size, proof.Root, proof.Of, proof.Hash)
		}
		said = append(said, strconv.FormatBool(err == nil))
	}
	return "[" + strings.Join(said, ",") + "]", nil
}
