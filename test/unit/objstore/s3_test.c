/* Signatures against the examples of Amazon's documentation, answers, credentials files. */
#include "objstore/s3_sign.h"

#include "objstore/s3_credentials.h"
#include "objstore/s3_reply.h"
#include "support/test.h"

static const struct s3_credentials example = {
    STR_INIT("AKIAIOSFODNN7EXAMPLE"),
    STR_INIT("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    STR_INIT(""),
};

enum { EXAMPLE_DAY_S = 1369353600 }; /* 2013-05-24 */

static struct str header_of(const struct s3_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (str_equal_nocase(request->headers[i].name, str_from(name)))
            return request->headers[i].value;
    }
    return STR("");
}

TEST(a_read_of_a_range_is_signed_as_in_the_documentation)
{
    struct arena *arena = arena_create(NULL);
    struct s3_request request = {.arena = arena,
                                 .method = STR("GET"),
                                 .host = STR("examplebucket.s3.amazonaws.com"),
                                 .path = STR("/test.txt")};
    s3_request_header(&request, "Range", STR("bytes=0-9"));
    s3_sign_v4(&request, &example, STR("us-east-1"), STR("s3"), EXAMPLE_DAY_S * (int64_t)1000);
    CHECK(str_ends_with(header_of(&request, "Authorization"),
                        STR("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, Signature="
                            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")));
    arena_unref(arena);
}

TEST(a_list_is_signed_as_in_the_documentation)
{
    struct arena *arena = arena_create(NULL);
    struct s3_request request = {.arena = arena,
                                 .method = STR("GET"),
                                 .host = STR("examplebucket.s3.amazonaws.com"),
                                 .path = STR("/")};
    s3_request_param(&request, "prefix", STR("J"));
    s3_request_param(&request, "max-keys", STR("2"));
    s3_sign_v4(&request, &example, STR("us-east-1"), STR("s3"), EXAMPLE_DAY_S * (int64_t)1000);
    CHECK(str_ends_with(
        header_of(&request, "Authorization"),
        STR("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")));
    CHECK_STR(s3_request_target(&request), "/?max-keys=2&prefix=J");
    arena_unref(arena);
}

TEST(a_write_is_signed_as_in_the_documentation)
{
    struct arena *arena = arena_create(NULL);
    struct s3_request request = {.arena = arena,
                                 .method = STR("PUT"),
                                 .host = STR("examplebucket.s3.amazonaws.com"),
                                 .path = STR("/test$file.text"),
                                 .body = str_bytes(STR("Welcome to Amazon S3."))};
    s3_request_header(&request, "Date", STR("Fri, 24 May 2013 00:00:00 GMT"));
    s3_request_header(&request, "x-amz-storage-class", STR("REDUCED_REDUNDANCY"));
    s3_sign_v4(&request, &example, STR("us-east-1"), STR("s3"), EXAMPLE_DAY_S * (int64_t)1000);
    CHECK(str_ends_with(
        header_of(&request, "Authorization"),
        STR("Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")));
    CHECK_STR(s3_request_target(&request), "/test%24file.text");
    arena_unref(arena);
}

TEST(lists_of_both_versions_are_read_in_the_order_of_keys)
{
    struct arena *arena = arena_create(NULL);
    struct s3_page page;
    CHECK_OK(s3_page_parse(
        STR("<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/\">"
            "<Name>b</Name><IsTruncated>true</IsTruncated><NextContinuationToken>t+1="
            "</NextContinuationToken><Contents><Key>b &amp; c</Key><Size>12</Size><LastModified>"
            "2024-01-02T03:04:05.000Z</LastModified><Owner><ID>x</ID></Owner></Contents>"
            "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes></ListBucketResult>"),
        arena, &page));
    CHECK_EQ(page.count, 2);
    CHECK_STR(page.entries[0].key, "a/");
    CHECK_STR(page.entries[1].key, "b & c");
    CHECK_EQ(page.entries[1].size, 12);
    CHECK_EQ(page.entries[1].modified_ms, 1704164645000);
    CHECK_STR(page.next, "t+1=");
    CHECK_OK(s3_page_parse(STR("<ListBucketResult><IsTruncated>true</IsTruncated><Contents>"
                               "<Key>last</Key></Contents></ListBucketResult>"),
                           arena, &page));
    CHECK_STR(page.next, "last");
    arena_unref(arena);
}

static const struct {
    const char *name, *xml, *part;
} bad_lists[] = {
    {"no XML", "hello", "line 1"},
    {"nothing", "", "no element found"},
    {"half of it", "<ListBucketResult><Contents>", "no element found"},
    {"a document type", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "document types"},
    {"no key", "<L><Contents><Size>1</Size></Contents></L>", "no key"},
    {"no number", "<L><Contents><Key>a</Key><Size>x</Size></Contents></L>", "no size"},
    {"no end", "<L><IsTruncated>true</IsTruncated></L>", "nobody knows where"},
};

TEST(a_list_that_is_none_is_an_error)
{
    for_each_case(c, bad_lists) {
        struct arena *arena = arena_create(NULL);
        struct s3_page page;
        CHECK_ERROR_TEXT(s3_page_parse(str_from(c->xml), arena, &page), ERROR_CORRUPT, c->part);
        arena_unref(arena);
    }
}

TEST(refusals_have_their_kinds)
{
    struct str missing = STR("<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>");
    struct str slow = STR("<Error><Code>SlowDown</Code></Error>");
    CHECK_ERROR_TEXT(s3_error(404, missing, STR("GET"), STR("k")), ERROR_NOT_FOUND,
                     "GET k: status 404 NoSuchKey: gone");
    CHECK_ERROR(s3_error(404, STR(""), STR("HEAD"), STR("k")), ERROR_NOT_FOUND);
    CHECK_ERROR(s3_error(503, slow, STR("GET"), STR("k")), ERROR_BUSY);
    CHECK_ERROR(s3_error(502, STR("<html>"), STR("GET"), STR("k")), ERROR_UNAVAILABLE);
    CHECK_ERROR(s3_error(403, STR(""), STR("GET"), STR("k")), ERROR_INVALID);
    CHECK(s3_status_is_retryable(503, slow));
    CHECK(s3_status_is_retryable(400, STR("<Error><Code>RequestTimeout</Code></Error>")));
    CHECK(!s3_status_is_retryable(403, STR("")));
}

TEST(the_profile_of_a_credentials_file_is_found)
{
    struct arena *arena = arena_create(NULL);
    struct s3_credentials found;
    struct str file = STR("# a comment\n[default]\naws_access_key_id = one\r\n"
                          "aws_secret_access_key=two==\n\n[ other ]\naws_access_key_id=three\n"
                          "aws_secret_access_key=four\naws_session_token=five\nregion=x\n");
    CHECK_OK(s3_credentials_parse_file(file, STR("default"), arena, &found));
    CHECK_STR(found.access_key, "one");
    CHECK_STR(found.secret_key, "two==");
    CHECK_OK(s3_credentials_parse_file(file, STR("other"), arena, &found));
    CHECK_STR(found.session_token, "five");
    CHECK_OK(s3_credentials_parse_file(file, STR("none"), arena, &found));
    CHECK_EQ(found.access_key.len, 0);
    CHECK_ERROR_TEXT(s3_credentials_parse_file(STR("[a]\nsecret"), STR("a"), arena, &found),
                     ERROR_INVALID, "line 2");
    arena_unref(arena);
}

TEST_MAIN(TEST_ENTRY(a_read_of_a_range_is_signed_as_in_the_documentation),
          TEST_ENTRY(a_list_is_signed_as_in_the_documentation),
          TEST_ENTRY(a_write_is_signed_as_in_the_documentation),
          TEST_ENTRY(lists_of_both_versions_are_read_in_the_order_of_keys),
          TEST_ENTRY(a_list_that_is_none_is_an_error), TEST_ENTRY(refusals_have_their_kinds),
          TEST_ENTRY(the_profile_of_a_credentials_file_is_found))
