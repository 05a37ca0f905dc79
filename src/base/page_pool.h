/* base/page_pool.h: pages for arenas and message buffers, from mmap and never from malloc, so that
 * a burst gives its memory back to the system when it is over. One pool for the process.
 * Thread-safe. */
#pragma once

#include <stddef.h>

enum { PAGE_POOL_SMALLEST = 64 * 1024, PAGE_POOL_LARGEST = 1024 * 1024 };

/* At least `size` bytes; *got is what there is: a power of two from 64 KiB to 1 MiB, or for more
 * than that the size rounded up to whole pages of the system (such a page is never kept by the
 * pool). Content is undefined. */
void *page_pool_take(size_t size, size_t *got);
void page_pool_give(void *page, size_t got); /* exactly as taken */

/* Returns the kept pages to the system; called when the process is idle. */
void page_pool_trim(void);
size_t page_pool_kept_bytes(void);  /* free pages that the pool keeps, at most 64 MiB */
size_t page_pool_taken_bytes(void); /* pages in use */
size_t page_pool_total_bytes(void); /* all that were ever taken */
