// Products by tiles in the shared memory of GPUs (matmul_tile, conv_tile): which fit a device, and which
// one first. None of the choices was measured on a card.
#ifndef HN_OPS_TILES_H
#define HN_OPS_TILES_H

#include "ops/table.h"

// A variant's parameters: the kernel's constants, and into how many parts the sum is cut; in a list, at
// most.
enum {
    HN__TILE_M, HN__TILE_N, HN__TILE_DEPTH, HN__TILE_TM, HN__TILE_TN, HN__TILE_BUFFERS, HN__TILE_PARTS,
    HN__N_TILE
};

typedef struct hn__tiles {
    const char *kernel;
    int n;
    const uint32_t (*list)[HN__N_TILE]; // the largest first
    uint32_t (*words)(const uint32_t *tile); // of shared memory, of 4 bytes
} hn__tiles;

// Sizes of a product, and how many of them there are.
typedef struct hn__tile_dims {
    int64_t times, m, n, k;
} hn__tile_dims;

// Threads of a workgroup.
uint32_t hn__tile_threads(const uint32_t *tile);
// Workgroups of a whole sum. Of any parameters that begin with a tile.
int64_t hn__tile_groups(const hn__tile_dims *d, const uint32_t *tile);
// Whether the sum may be cut in so many parts, of at most `most`: where workgroups are few, whatever k
// is, since the self-test's products are short.
bool hn__tile_takes_parts(const hn__tile_dims *d, const uint32_t *tile, uint32_t parts, uint32_t most,
                          const hn_device_info *info);
// Words of slices of floats on both sides, padded against conflicts of banks.
uint32_t hn__tile_words(const uint32_t *tile);
// Puts all that fit behind out[n], the best guess first; gives their number and n.
int hn__tile_variants(const hn__tiles *t, const hn__tile_dims *d, const hn_device_info *info,
                      hn__variant out[], int n);

#endif
