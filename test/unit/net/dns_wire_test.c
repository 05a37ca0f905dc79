#include "support/test.h"

#include <arpa/inet.h>

#include "net/dns_wire.h"

#define HEADER "\x12\x34\x85\x80"
#define COUNTS(questions, answers) "\0" questions "\0" answers "\0\0\0\0"
#define QUESTION "\1a\4test\0\0\1\0\1"
#define BYTES(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})

TEST(addresses_names_and_ports_are_read)
{
    struct arena *arena = arena_create(NULL);
    struct dns_answer answer;
    CHECK_OK(dns_answer_decode(
        BYTES(HEADER COUNTS("\1", "\4") QUESTION         /* at byte 12 */
              "\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4\x0a\0\0\1" /* A */
              "\xc0\x0c\0\x1c\0\1\0\0\0\x1e\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
              "\xc0\x0c\0\5\0\1\0\0\0\x1e\0\4\1b\xc0\x0e" /* b.test */
              "\xc0\x0c\0\x21\0\1\0\0\0\x1e\0\x0f\0\1\0\2\x2a\x95\5pod_1\xc0\x0e\0"),
        arena, &answer));
    CHECK_EQ(answer.count, 4);
    CHECK_EQ(answer.records[0].type, DNS_TYPE_A);
    CHECK_EQ(answer.records[0].address.v4.sin_addr.s_addr, htonl(0x0a000001));
    CHECK_EQ(answer.records[1].type, DNS_TYPE_AAAA);
    CHECK_EQ(answer.records[1].address.v6.sin6_addr.s6_addr[15], 1);
    CHECK_STR(answer.records[2].target, "b.test");
    CHECK_STR(answer.records[3].target, "pod_1.test");
    CHECK_EQ(answer.records[3].port, 10901);
    arena_unref(arena);
}

TEST(records_without_use_are_left_out)
{
    struct arena *arena = arena_create(NULL);
    struct dns_answer answer;
    CHECK_OK(dns_answer_decode(BYTES(HEADER COUNTS("\0", "\5")          /* no question */
                                     "\0\0\x10\0\1\0\0\0\0\0\2\1x"      /* TXT */
                                     "\0\0\1\0\3\0\0\0\0\0\4\x0a\0\0\1" /* another class */
                                     "\0\0\1\0\1\0\0\0\0\0\3\x0a\0\0"   /* short address */
                                     "\0\0\5\0\1\0\0\0\0\0\5\3a:b\0"    /* strange name */
                                     "\0\0\5\0\1\0\0\0\0\0\1\0"),       /* root */
                               arena, &answer));
    CHECK_EQ(answer.count, 0);
    arena_unref(arena);
}

static const struct {
    const char *name;
    struct bytes input;
} broken_cases[] = {
    {"nothing", {NULL, 0}},
    {"half a header", BYTES("\0\0\0\0\0\1")},
    {"a name without end", BYTES(HEADER COUNTS("\1", "\0") "\3abc")},
    {"a reference to itself", BYTES(HEADER COUNTS("\1", "\0") "\xc0\x0c\0\1\0\1")},
    {"a reference forwards", BYTES(HEADER COUNTS("\1", "\0") "\xc0\x10\0\1\0\1\1a\0")},
    {"two references in a ring",
     BYTES(HEADER COUNTS("\1", "\1") "\1a\xc0\x0c\0\1\0\1\xc0\x0e\0\1\0\1\0\0\0\0\0\0")},
    {"a label of 64 bytes", BYTES(HEADER COUNTS("\1", "\0") "\x40"
                                                            "a\0\0\1\0\1")},
    {"more records than bytes", BYTES(HEADER COUNTS("\0", "\7") "\0\0\1\0\1\0\0\0\0\0\0")},
    {"data beyond the end", BYTES(HEADER COUNTS("\0", "\1") "\0\0\1\0\1\0\0\0\0\0\x09\1")},
    {"a target beyond the end", BYTES(HEADER COUNTS("\0", "\1") "\0\0\5\0\1\0\0\0\0\0\2\3a")},
};

TEST(broken_messages_are_refused)
{
    struct arena *arena = arena_create(NULL);
    struct dns_answer answer;
    for_each_case(c, broken_cases)
        CHECK_ERROR(dns_answer_decode(c->input, arena, &answer), ERROR_CORRUPT);
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(addresses_names_and_ports_are_read),
          TEST_ENTRY(records_without_use_are_left_out), TEST_ENTRY(broken_messages_are_refused))
