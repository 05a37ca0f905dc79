/* limit_ratio(): keeps rows whose label hash, as a fraction of all hashes, is below the ratio; with
 * a ratio below 0, those that its complement would leave out. Groups play no part. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "promql/operator/operator.h"

struct limit_ratio {
    struct row_stage base;
    struct scalar ratio;
};

static void warn_of_ratio(const struct row_stage *stage, double ratio, int cap)
{
    char value[ANNOTATION_FLOAT_MAX];
    annotations_add_of_argument(stage->execution->annotations, ANNOTATION_WARNING,
                                stage->node->aggregate.param->position, stage->node->position,
                                "ratio value should be between -1 and 1, got %s, capping to %d",
                                annotation_float(value, ratio), cap);
}

static struct error *limit_ratio_prepare(struct row_stage *base, struct context *ctx)
{
    struct limit_ratio *stage = container_of(base, struct limit_ratio, base);
    struct error *err = scalar_read(base->execution, &stage->ratio, ctx);
    if (err || base->grid->count == 0)
        return err;
    double least = INFINITY, most = -INFINITY;
    for (size_t step = 0; step < base->grid->count; step++) {
        double ratio = stage->ratio.values[step];
        if (isnan(ratio))
            return error_create(ERROR_QUERY, "Ratio value is NaN");
        least = fmin(least, ratio);
        most = fmax(most, ratio);
    }
    if (most > 1)
        warn_of_ratio(base, most, 1);
    if (least < -1)
        warn_of_ratio(base, least, -1);
    return NULL;
}

static bool ratio_keeps(double ratio, double offset)
{
    ratio = fmin(fmax(ratio, -1), 1);
    return ratio >= 0 ? offset < ratio : offset >= 1.0 + ratio;
}

static struct error *limit_ratio_apply(const struct row_stage *base, struct context *ctx,
                                       struct arena *arena, struct step_batch **batch_at)
{
    const struct limit_ratio *stage = container_of(base, struct limit_ratio, base);
    struct step_batch *batch = *batch_at;
    for (size_t row = 0; row < batch->row_count; row++) {
        struct labels labels = execution_labels(base->execution, batch, row, arena);
        double offset = (double)labels_hash(labels) / 18446744073709551616.0;
        uint64_t *present = step_batch_present(batch, row);
        for (uint32_t step = batch->first[row]; step < batch->last[row]; step++) {
            if (!ratio_keeps(stage->ratio.values[step], offset))
                step_bit_clear(present, step);
        }
        step_batch_trim_row(batch, row);
    }
    return NULL;
}

static void limit_ratio_explain(const struct row_stage *base, struct buf *out)
{
    buf_append_cstr(out, "limit_ratio");
}

static void limit_ratio_free(struct row_stage *base)
{
    struct limit_ratio *stage = container_of(base, struct limit_ratio, base);
    scalar_deinit(&stage->ratio);
    free(stage);
}

static const struct row_stage_ops limit_ratio_ops = {limit_ratio_prepare, limit_ratio_apply,
                                                     limit_ratio_explain, limit_ratio_free};

struct row_stage *limit_ratio_stage_create(struct execution *execution,
                                           const struct plan_node *node, struct operator* ratio)
{
    struct limit_ratio *stage = xcalloc(1, sizeof(*stage));
    stage->base = (struct row_stage){&limit_ratio_ops, execution, node, node->grid, NULL};
    stage->ratio.op = ratio;
    return &stage->base;
}
