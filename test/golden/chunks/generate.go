// Writes chunks of every encoding with what they hold, one chunk after another, to stdout:
//
//	chunk <number of the encoding> <bytes in hex>
//	s <start times of all samples, where the encoding has them>
//	f <time> <bits of the value in hex>
//	h <time> <reset hint> <histogram as text>
//
// Run in a copy of test/peers/prometheus: go run generate.go > chunks.txt
package main

import (
	"bufio"
	"fmt"
	"math"
	"math/rand"
	"os"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

var out = bufio.NewWriter(os.Stdout)

func dumpStarts(c chunkenc.Chunk) {
	if c.Encoding() < chunkenc.EncXOR2 {
		return
	}
	fmt.Fprint(out, "s")
	for it := c.Iterator(nil); it.Next() != chunkenc.ValNone; {
		fmt.Fprintf(out, " %d", it.AtST())
	}
	fmt.Fprintln(out)
}

func dump(c chunkenc.Chunk) {
	fmt.Fprintf(out, "chunk %d %x\n", c.Encoding(), c.Bytes())
	dumpStarts(c)
	it := c.Iterator(nil)
	for {
		switch it.Next() {
		case chunkenc.ValNone:
			if it.Err() != nil {
				panic(it.Err())
			}
			return
		case chunkenc.ValFloat:
			t, v := it.At()
			fmt.Fprintf(out, "f %d %016x\n", t, math.Float64bits(v))
		default:
			t, h := it.AtFloatHistogram(nil)
			fmt.Fprintf(out, "h %d %d %s\n", t, h.CounterResetHint, h.String())
		}
	}
}

type shape struct {
	step, jitter int64
	value        func(r *rand.Rand, i int, last float64) float64
}

var shapes = []shape{
	{15000, 0, func(*rand.Rand, int, float64) float64 { return 1 }},
	{15000, 3, func(r *rand.Rand, i int, last float64) float64 { return last + float64(r.Intn(100)) }},
	{15000, 9000, func(r *rand.Rand, i int, last float64) float64 { return r.NormFloat64() }},
	{60000, 100000, func(r *rand.Rand, i int, last float64) float64 { return math.Float64frombits(r.Uint64()) }},
	{1, 0, func(r *rand.Rand, i int, last float64) float64 {
		if r.Intn(5) == 0 {
			return math.Float64frombits(value.StaleNaN)
		}
		return float64(i / 10)
	}},
	{1 << 40, 1 << 41, func(r *rand.Rand, i int, last float64) float64 { return math.NaN() }},
}

func start(r *rand.Rand, mode int, t int64) int64 {
	switch mode {
	case 1:
		return t - 1000
	case 2:
		return 1600000000000
	case 3:
		return 1600000000000 + int64(r.Intn(3))*5000
	}
	return 0
}

func floats(r *rand.Rand, s shape, n, mode int, c chunkenc.Chunk) {
	app, err := c.Appender()
	if err != nil {
		panic(err)
	}
	t, v := int64(1700000000000), 0.0
	for i := 0; i < n; i++ {
		v = s.value(r, i, v)
		app.Append(start(r, mode, t), t, v)
		t += s.step
		if s.jitter > 0 {
			t += r.Int63n(s.jitter)
		}
	}
	dump(c)
}

func grow(r *rand.Rand, h *histogram.Histogram, gauge bool) *histogram.Histogram {
	next := h.Copy()
	total := next.ZeroCount
	add := func(deltas []int64) {
		var abs, last int64
		var values []int64
		for _, d := range deltas {
			abs += d
			v := abs + int64(r.Intn(20))
			if gauge {
				v = int64(r.Intn(2000))
			}
			values = append(values, v)
		}
		for i, v := range values {
			deltas[i] = v - last
			last = v
			total += uint64(v)
		}
	}
	add(next.PositiveBuckets)
	add(next.NegativeBuckets)
	next.Count = total
	next.Sum += r.Float64() * 100
	return next
}

func histograms(r *rand.Rand, first *histogram.Histogram, n, mode int, gauge bool, stale int, enc chunkenc.Encoding) {
	c, err := chunkenc.NewEmptyChunk(enc)
	if err != nil {
		panic(err)
	}
	app, err := c.Appender()
	if err != nil {
		panic(err)
	}
	h := first
	t := int64(1700000000000)
	var old chunkenc.Appender
	for i := 0; i < n; i++ {
		h = grow(r, h, gauge)
		if gauge {
			h.CounterResetHint = histogram.GaugeType
		}
		x := h
		if stale > 0 && i >= stale {
			x = &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}
		}
		var next chunkenc.Chunk
		if enc == chunkenc.EncFloatHistogram || enc == chunkenc.EncFloatHistogramST {
			next, _, app, err = app.AppendFloatHistogram(old, start(r, mode, t), t, x.ToFloat(nil), false)
		} else {
			next, _, app, err = app.AppendHistogram(old, start(r, mode, t), t, x, false)
		}
		if err != nil {
			panic(err)
		}
		if next != nil {
			c = next
		}
		t += 15000 + r.Int63n(5)
	}
	dump(c)
}

func main() {
	defer out.Flush()
	r := rand.New(rand.NewSource(4))
	for _, s := range shapes {
		for _, n := range []int{0, 1, 2, 3, 40} {
			floats(r, s, n, 0, chunkenc.NewXORChunk())
		}
		for _, n := range []int{1, 2, 3, 20, 130} {
			for mode := 0; mode < 4; mode++ {
				if n == 130 && mode != 2 {
					continue
				}
				floats(r, s, n, mode, chunkenc.NewXOR2Chunk())
			}
		}
	}
	firsts := []*histogram.Histogram{
		{Schema: 1, ZeroThreshold: 0.001, ZeroCount: 3,
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 4}, {Offset: 2, Length: 3}}, PositiveBuckets: make([]int64, 7),
			NegativeSpans: []histogram.Span{{Offset: -5, Length: 2}}, NegativeBuckets: make([]int64, 2)},
		{Schema: -2, ZeroThreshold: math.Ldexp(0.5, -127)},
		{Schema: 8, PositiveSpans: []histogram.Span{{Offset: 100000, Length: 20}}, PositiveBuckets: make([]int64, 20)},
		{Schema: 10, PositiveSpans: []histogram.Span{{Offset: -3, Length: 20}}, PositiveBuckets: make([]int64, 20)},
		{Schema: histogram.CustomBucketsSchema, CustomValues: []float64{-1, 0, 0.005, 2.5, 33554.43, 1e9},
			PositiveSpans: []histogram.Span{{Offset: 0, Length: 3}, {Offset: 1, Length: 3}}, PositiveBuckets: make([]int64, 6)},
	}
	for _, first := range firsts {
		for _, enc := range []chunkenc.Encoding{chunkenc.EncHistogram, chunkenc.EncFloatHistogram, chunkenc.EncHistogramST, chunkenc.EncFloatHistogramST} {
			for mode := 0; mode < 4; mode++ {
				if mode > 0 && (enc == chunkenc.EncHistogram || enc == chunkenc.EncFloatHistogram) {
					continue
				}
				histograms(r, first, 1, mode, false, 0, enc)
				histograms(r, first, 5, mode, false, 0, enc)
				histograms(r, first, 3, mode, true, 0, enc)
				histograms(r, first, 4, mode, false, 3, enc)
			}
		}
	}
	histograms(r, firsts[1], 135, 2, false, 0, chunkenc.EncHistogramST)
	histograms(r, &histogram.Histogram{Sum: math.Float64frombits(value.StaleNaN)}, 2, 0, false, 0, chunkenc.EncHistogram)
}
