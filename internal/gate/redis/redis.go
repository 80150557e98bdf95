// Package redis asks redis: as a readiness probe whether it serves, as an exit
// gate whether a collection is empty. It is apart from package gate so that
// only a program that wants it links a redis client.
package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/lastcall/lastcall/internal/gate"
)

// Kind returns the kind "redis". Its target is a URL: redis://, rediss:// or
// unix://. As a probe it has no keys and means go when PING is answered. As a
// gate it has one key, the type of the collection, whose value is the name of
// it in redis; empty or absent means go.
//
// The client's own log is switched off for the whole process: it would print
// every failed connection besides the answer.
func Kind() gate.Kind {
	logging.Disable()
	return gate.Kind{
		Name: "redis", Gate: true, Probe: true,
		Keys:  []string{"sorted_set", "set", "list", "hash", "key"},
		Check: check,
		Open:  open,
	}
}

func check(s gate.Spec) error {
	if _, err := options(s); err != nil {
		return err
	}
	if !s.Gate {
		if len(s.Keys) > 0 {
			return errors.New("a probe asks PING and nothing else; only a gate looks at a collection")
		}
		return nil
	}
	if len(s.Keys) != 1 {
		return fmt.Errorf(`needs exactly one of sorted_set, set, list, hash and key, as sorted_set = "locks:{worker}"; it has %d`, len(s.Keys))
	}
	for typ, name := range s.Keys {
		if name == "" {
			return fmt.Errorf("%s names nothing", typ)
		}
	}
	return nil
}

func open(s gate.Spec) (gate.Question, error) {
	o, err := options(s)
	if err != nil {
		return nil, err
	}
	q := &question{options: o, gate: s.Gate}
	for q.typ, q.name = range s.Keys {
		break // there is one, see check
	}
	return q, nil
}

// options reads the URL. What cannot be read is not repeated where it may hold
// a password: one with a bare slash in it makes the parser complain about a
// part of it.
func options(s gate.Spec) (*redis.Options, error) {
	o, err := redis.ParseURL(s.Target)
	if err != nil {
		detail := ""
		if strings.Contains(s.Target, "@") {
			detail = "; special characters in a password must be percent-encoded"
		}
		return nil, fmt.Errorf(`must be a URL, as "redis://127.0.0.1:6379/0"%s`, detail)
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = gate.DefaultTimeout
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = timeout, timeout, timeout
	o.ContextTimeoutEnabled = true
	// One connection, one try: whoever asks, asks again. A pool of one would
	// start its background dialling with the first failure.
	o.PoolSize, o.MinIdleConns, o.PipelinePoolSize = 2, 0, -1
	o.MaxRetries, o.DialerRetries = -1, 1
	// Nothing said that the question does not need.
	o.Protocol, o.DisableIdentity = 2, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

type question struct {
	options *redis.Options
	gate    bool
	typ     string // of the collection: a key of the Spec
	name    string // of the collection in redis
}

// Ask connects anew each time. A client that is kept does not dial for a second
// once dialling has failed as often as its pool is large, but goes on trying
// behind the scenes: a probe each 100 ms would see a ready redis a second late.
func (q *question) Ask(ctx context.Context) (string, error) {
	c := redis.NewClient(q.options)
	defer c.Close()
	waitingFor, err := "", error(nil)
	if q.gate {
		waitingFor, err = q.members(ctx, c)
	} else {
		err = c.Ping(ctx).Err()
	}
	switch {
	case err == nil:
		return waitingFor, nil
	case redis.HasErrorPrefix(err, "LOADING"):
		return "redis is loading its data", nil
	}
	return "", fmt.Errorf("ask redis: %w", err)
}

// members says what the collection holds. The count decides: the members are
// asked for after it, for people, and may be gone by then.
func (q *question) members(ctx context.Context, c *redis.Client) (string, error) {
	name := q.name
	var all int64
	var err error
	switch q.typ {
	case "sorted_set":
		all, err = c.ZCard(ctx, name).Result()
	case "set":
		all, err = c.SCard(ctx, name).Result()
	case "list":
		all, err = c.LLen(ctx, name).Result()
	case "hash":
		all, err = c.HLen(ctx, name).Result()
	default:
		all, err = c.StrLen(ctx, name).Result()
	}
	if err != nil || all == 0 {
		return "", err
	}
	some, err := q.some(ctx, c)
	if err != nil {
		return "", err
	}
	if q.typ == "key" {
		return fmt.Sprintf("%s: %s", name, strings.Join(some, "")), nil
	}
	return gate.Members(name, some, all), nil
}

// some returns a few members without ever reading a large collection whole.
func (q *question) some(ctx context.Context, c *redis.Client) ([]string, error) {
	name := q.name
	const few, longest = 4, 60
	switch q.typ {
	case "sorted_set":
		return c.ZRange(ctx, name, 0, few-1).Result()
	case "list":
		return c.LRange(ctx, name, 0, few-1).Result()
	case "key":
		value, err := c.GetRange(ctx, name, 0, longest-1).Result()
		return []string{value}, err
	case "set":
		names, _, err := c.SScan(ctx, name, 0, "", few).Result()
		slices.Sort(names)
		return names, err
	}
	pairs, _, err := c.HScan(ctx, name, 0, "", few).Result()
	var names []string
	for field := range slices.Chunk(pairs, 2) {
		names = append(names, field[0])
	}
	slices.Sort(names)
	return names, err
}

func (q *question) Close() error { return nil }
