/* The join of two sides that come in the order of their keys, at most one row a key: the usual
 * `a / b`. Both are gone through side by side, and nothing is held.
 *
 * Rows keep their names in place, and on one side all have the same, so the order is that of the
 * labels with names taken as equal. Labels that go with the name beside it, __type__ and __unit__,
 * would be in the way: they differ within a side. Rows that have them come first, so a look at the
 * first batches tells whether to go the other way. */
#include <string.h>

#include "promql/operator/join.h"

static struct error *cursor_pull(struct join *join, struct join_cursor *cursor, struct context *ctx)
{
    while (!cursor->ended && (!cursor->batch || cursor->row == cursor->batch->row_count)) {
        arena_unref(cursor->last_arena);
        cursor->last_arena = cursor->arena; /* `last` may live in it */
        cursor->arena = arena_create(join->execution->budget);
        cursor->row = 0;
        struct error *err = operator_next(cursor->input, ctx, cursor->arena, &cursor->batch);
        if (err)
            return err;
        cursor->ended = !cursor->batch;
    }
    return NULL;
}

void join_cursor_deinit(struct join_cursor *cursor)
{
    arena_unref(cursor->arena);
    arena_unref(cursor->last_arena);
}

static bool has_metadata(const struct step_batch *batch)
{
    for (size_t row = 0; batch && row < batch->row_count; row++) {
        for (size_t i = 1; i < countof(metadata_labels); i++) {
            if (labels_has(batch->labels[row], metadata_labels[i]))
                return true;
        }
    }
    return false;
}

struct error *join_stream_peek(struct join *join, struct context *ctx)
{
    join->is_peeked = true;
    struct error *err = cursor_pull(join, &join->left, ctx);
    if (!err)
        err = cursor_pull(join, &join->right, ctx);
    if (!err && (has_metadata(join->left.batch) || has_metadata(join->right.batch)))
        join->streams = false;
    return err;
}

/* labels_compare(), but names are equal. */
static int key_compare(struct labels a, struct labels b)
{
    struct labels_reader left = labels_read(a), right = labels_read(b);
    struct label x, y;
    for (;;) {
        bool has_left = labels_next(&left, &x), has_right = labels_next(&right, &y);
        if (!has_left || !has_right)
            return (int)has_left - (int)has_right;
        int order = str_compare(x.name, y.name);
        if (order == 0 && !str_equal(x.name, metadata_labels[0]))
            order = str_compare(x.value, y.value);
        if (order != 0)
            return order;
    }
}

static struct labels cursor_labels(const struct join_cursor *cursor)
{
    return cursor->batch->labels[cursor->row];
}

/* Goes to the next row, which must be behind this one. */
static struct error *cursor_advance(struct join *join, struct join_cursor *cursor,
                                    struct context *ctx)
{
    cursor->last = cursor_labels(cursor);
    cursor->row++;
    struct error *err = cursor_pull(join, cursor, ctx);
    if (err || cursor->ended)
        return err;
    if (key_compare(cursor->last, cursor_labels(cursor)) < 0)
        return NULL;
    return error_create(ERROR_INTERNAL, "series of a join came out of order");
}

static struct join_side cursor_side(const struct join_cursor *cursor)
{
    size_t row = cursor->row, first = cursor->batch->first[row];
    struct histogram **histograms = step_batch_histograms(cursor->batch, row);
    return (struct join_side){step_batch_values(cursor->batch, row) + first,
                              histograms ? histograms + first : NULL, first,
                              cursor->batch->last[row]};
}

/* Computes a pair of rows with one key; labels of the result are copied. */
static struct error *join_rows(struct join *join, struct step_batch *out, size_t *rows,
                               struct arena *arena)
{
    const uint64_t *left = step_batch_present(join->left.batch, join->left.row);
    const uint64_t *right = step_batch_present(join->right.batch, join->right.row);
    uint64_t any = 0;
    for (size_t word = 0; word < step_grid_words(join->base.grid); word++)
        any |= join->bits[word] = left[word] & right[word];
    struct join_side many = cursor_side(&join->left), one = cursor_side(&join->right);
    if (!any || !join_refuse(join, &many, &one))
        return NULL;
    struct labels labels = cursor_labels(&join->left);
    size_t row = (*rows)++;
    struct error *err = join_set_labels(join, labels, join->left.batch->drop_name[join->left.row],
                                        labels, out, row, arena);
    if (err)
        return err;
    if (out->labels[row].data == labels.data)
        out->labels[row] = labels_copy(arena, labels);
    memset(step_batch_values(out, row), 0, out->grid->count * sizeof(double));
    if (many.histograms || one.histograms) { /* results may be those of an input */
        arena_keep(arena, join->left.arena);
        arena_keep(arena, join->right.arena);
    }
    return join_compute(join, &many, &one, out, row, arena);
}

static struct error *join_step(struct join *join, struct context *ctx, struct step_batch *out,
                               size_t *rows, struct arena *arena)
{
    bool has_left = !join->left.ended, has_right = !join->right.ended;
    int order = !has_left    ? 1
                : !has_right ? -1
                             : key_compare(cursor_labels(&join->left), cursor_labels(&join->right));
    struct error *err = order == 0 ? join_rows(join, out, rows, arena) : NULL;
    if (!err && order <= 0)
        err = cursor_advance(join, &join->left, ctx);
    if (!err && order >= 0)
        err = cursor_advance(join, &join->right, ctx);
    return err;
}

struct error *join_stream_next(struct join *join, struct context *ctx, struct arena *arena,
                               struct step_batch **out)
{
    size_t rows_max = step_batch_rows_max(join->base.grid), rows = 0;
    struct step_batch *batch;
    struct error *err = step_batch_create(arena, join->base.grid, rows_max, &batch);
    while (!err && rows < rows_max && !(join->left.ended && join->right.ended))
        err = join_step(join, ctx, batch, &rows, arena);
    if (err)
        return err;
    batch->row_count = rows;
    step_batch_drop_empty_rows(batch);
    if (rows > 0 || !(join->left.ended && join->right.ended))
        *out = batch;
    return NULL;
}
