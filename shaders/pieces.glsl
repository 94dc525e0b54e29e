// Rows of y, ROWS together, cut in pieces of a few runs a thread: a workgroup a piece, so that
// what belongs to a row is the same for all its threads. To be included after rows.glsl, where the
// push constants are scatter_push.
#ifndef HN_PIECES_GLSL
#define HN_PIECES_GLSL

layout(constant_id = 2) const uint ROWS = 1u;

#define PIECE_WIDTH (SCATTER_PIECE * gl_WorkGroupSize.x) // runs
#define PIECES ((RUNS + PIECE_WIDTH - 1u) / PIECE_WIDTH) // of a row
#define PIECE_ROW (group_index() / PIECES * ROWS)
#define PIECE_RUNS(r)                                                                             \
    const uint r##_first = group_index() % PIECES * PIECE_WIDTH;                                  \
    for (uint r = r##_first + gl_LocalInvocationID.x; r < min(r##_first + PIECE_WIDTH, RUNS);     \
         r += gl_WorkGroupSize.x)

#endif
