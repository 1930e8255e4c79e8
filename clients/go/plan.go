package genstore

import (
	"context"
	"encoding/json"
	"io"
)

// An Entry of a plan. It has one of Text, Bytes, Source, Symlink and Dir.
type Entry struct {
	Path string  `json:"path"`
	// Text is the content of a file as text; nil if it is in Bytes, which is simpler in most programs.
	Text *string `json:"text,omitempty"`
	// Bytes are the content of a file. An empty slice that is not nil is an empty file.
	Bytes []byte `json:"-"`
	// Source is a file to read.
	Source string `json:"source,omitempty"`
	// Symlink is the target of a symlink.
	Symlink string `json:"symlink,omitempty"`
	Dir     bool   `json:"dir,omitempty"`
	// Mode is like "0755". Only the executable bit is kept.
	Mode string `json:"mode,omitempty"`
}

// MarshalJSON returns a line of a plan.
func (e Entry) MarshalJSON() ([]byte, error) {
	type plain Entry
	line := struct {
		plain
		Bytes *[]byte `json:"bytes,omitempty"`
	}{plain: plain(e)}
	if e.Bytes != nil {
		line.Bytes = &e.Bytes
	}
	return json.Marshal(line)
}

// PublishPlan publishes the entries that a function adds. If the function fails, nothing is published, and
// PublishPlan returns its error. add fails if the program has stopped reading, whose own error explains it.
func (c *Client) PublishPlan(ctx context.Context, options PublishOptions, entries func(add func(Entry) error) error) (*Publication, error) {
	feed := func(to io.Writer) error {
		lines := json.NewEncoder(to)
		if err := lines.Encode(map[string]bool{"begin": true}); err != nil {
			return err
		}
		if err := entries(func(entry Entry) error { return lines.Encode(entry) }); err != nil {
			return err
		}
		// The program refuses a plan without its last line.
		return lines.Encode(map[string]bool{"end": true})
	}
	args := options.args("publish", "--plan", "-")
	return call[Publication](ctx, c, "genstore.publish/1", feed, args...)
}
