#include "base/page_pool.h"

#include <sys/mman.h>

#include "base/compiler.h"
#include "base/memory.h"
#include "base/mutex.h"

/* What is left in a kept page belongs to nobody: under AddressSanitizer a look at it is an error.
 */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

enum { SIZE_CLASSES = 5, KEEP_BYTES_MAX = 64 * 1024 * 1024 }; /* 64, 128, 256, 512, 1024 KiB */

struct free_page {
    struct free_page *next;
};

static struct mutex pool_lock = MUTEX_INIT;
static struct free_page *free_pages[SIZE_CLASSES] GUARDED_BY(pool_lock);
static size_t kept_bytes GUARDED_BY(pool_lock);
static size_t taken_bytes GUARDED_BY(pool_lock);
static size_t total_bytes GUARDED_BY(pool_lock);

/* The class that holds size, or SIZE_CLASSES when it is larger than all; *got its page size. */
static size_t size_class(size_t size, size_t *got)
{
    size_t page = PAGE_POOL_SMALLEST;
    for (size_t i = 0; i < SIZE_CLASSES; i++, page *= 2)
        if (size <= page) {
            *got = page;
            return i;
        }
    if (size > SIZE_MAX - 4095)
        bug("page of %zu bytes asked for", size);
    *got = (size + 4095) & ~(size_t)4095;
    return SIZE_CLASSES;
}

void *page_pool_take(size_t size, size_t *got)
{
    size_t class = size_class(size, got);
    struct free_page *page = NULL;
    mutex_lock(&pool_lock);
    taken_bytes += *got;
    total_bytes += *got;
    if (class < SIZE_CLASSES && free_pages[class]) {
        page = free_pages[class];
        free_pages[class] = page->next;
        kept_bytes -= *got;
    }
    mutex_unlock(&pool_lock);
    if (page) {
        ASAN_UNPOISON_MEMORY_REGION(page, *got);
        return page;
    }
    void *fresh = mmap(NULL, *got, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fresh == MAP_FAILED)
        bug("out of memory: mmap of %zu bytes failed", *got);
    return fresh;
}

static void unmap(void *page, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(page, size);
    munmap(page, size);
}

/* Makes room for `got` more bytes out of larger pages that nobody wants any more: kept after a
 * burst of large arenas, they would keep small pages out for ever. NULL: there are none. */
static struct free_page *pool_evict_locked(size_t class, size_t got, size_t *evicted)
    REQUIRES(pool_lock)
{
    if (kept_bytes + got <= KEEP_BYTES_MAX)
        return NULL;
    for (size_t larger = SIZE_CLASSES; --larger > class;) {
        struct free_page *page = free_pages[larger];
        if (!page)
            continue;
        *evicted = (size_t)PAGE_POOL_SMALLEST << larger;
        free_pages[larger] = page->next;
        kept_bytes -= *evicted;
        return page;
    }
    return NULL;
}

void page_pool_give(void *memory, size_t got)
{
    size_t page_size, evicted_size = 0;
    size_t class = size_class(got, &page_size);
    struct free_page *page = memory, *evicted = NULL;
    bool keep = false;
    mutex_lock(&pool_lock);
    taken_bytes -= got;
    if (class < SIZE_CLASSES) {
        evicted = pool_evict_locked(class, got, &evicted_size);
        keep = kept_bytes + got <= KEEP_BYTES_MAX;
    }
    if (keep) {
        page->next = free_pages[class];
        free_pages[class] = page;
        ASAN_POISON_MEMORY_REGION(page + 1, got - sizeof(*page));
        kept_bytes += got;
    }
    mutex_unlock(&pool_lock);
    if (evicted)
        unmap(evicted, evicted_size);
    if (!keep)
        unmap(memory, got);
}

void page_pool_trim(void)
{
    size_t page_size = PAGE_POOL_SMALLEST;
    for (size_t class = 0; class < SIZE_CLASSES; class ++, page_size *= 2) {
        mutex_lock(&pool_lock);
        struct free_page *list = free_pages[class];
        free_pages[class] = NULL;
        for (struct free_page *page = list; page; page = page->next)
            kept_bytes -= page_size;
        mutex_unlock(&pool_lock);
        while (list) {
            struct free_page *next = list->next;
            unmap(list, page_size);
            list = next;
        }
    }
}

size_t page_pool_kept_bytes(void)
{
    mutex_lock(&pool_lock);
    size_t bytes = kept_bytes;
    mutex_unlock(&pool_lock);
    return bytes;
}

size_t page_pool_taken_bytes(void)
{
    mutex_lock(&pool_lock);
    size_t bytes = taken_bytes;
    mutex_unlock(&pool_lock);
    return bytes;
}

size_t page_pool_total_bytes(void)
{
    mutex_lock(&pool_lock);
    size_t bytes = total_bytes;
    mutex_unlock(&pool_lock);
    return bytes;
}
