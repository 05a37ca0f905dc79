#include "net/tls.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "net/connection.h"
#include "runtime/log.h"
#include "runtime/time.h"
#include "support/test.h"
#include "loop_call.h"

static char folder[] = "/tmp/titan-tls-XXXXXX";
static struct log *quiet;

static void make_certificates(const char *names)
{
    char command[512];
    snprintf(command, sizeof(command), "%s %s %s", MAKE_CERTIFICATES, folder, names);
    assert_int_equal(system(command), 0);
}

static int setup(void **state UNUSED)
{
    if (!mkdtemp(folder))
        return 1;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    quiet = log_create(nowhere, LOG_DEBUG, LOG_LOGFMT, STR(""));
    make_certificates("");
    return 0;
}

static int teardown(void **state UNUSED)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    log_free(quiet);
    return system(command);
}

/* Paths under the folder; they stay until the next eight are asked for. */
static struct str path(const char *name)
{
    static char paths[8][128];
    static unsigned at;
    char *one = paths[at++ % countof(paths)];
    snprintf(one, sizeof(paths[0]), "%s/%s", folder, name);
    return str_from(one);
}

static void copy_file(const char *from, const char *to)
{
    char command[512];
    snprintf(command, sizeof(command), "cp %s/%s %s/%s", folder, from, folder, to);
    assert_int_equal(system(command), 0);
}

static struct tls_server_config server_config(const char *name)
{
    char crt[64], key[64];
    snprintf(crt, sizeof(crt), "%s.crt", name);
    snprintf(key, sizeof(key), "%s.key", name);
    return (struct tls_server_config){.certificate.file = path(crt),
                                      .key.file = path(key),
                                      .min_version = TLS_VERSION_1_2,
                                      .max_version = TLS_VERSION_1_3};
}

struct outcome {
    enum tls_result server, client;
    char server_text[600], client_text[600];
};

static void note_error(const struct tls_session *session, enum tls_result result, char *text)
{
    struct error *err = tls_session_error(session);
    snprintf(text, 600, "%.*s", STR_ARG(result == TLS_FAILED ? error_text(err) : STR("")));
    error_free(err);
}

static bool is_open(enum tls_result result)
{
    return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

/* Both sides in turn, until neither goes on; then the client reads once, for what TLS 1.3 tells it
 * after its handshake. */
static struct outcome shake_hands(struct tls_server *server, struct tls_client *client,
                                  const char *host)
{
    int pair[2];
    char byte;
    size_t got;
    struct outcome outcome = {.server = TLS_WANT_READ, .client = TLS_WANT_READ};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    struct tls_session *a = tls_session_accept(server, pair[0], STR("peer"));
    struct tls_session *b = tls_session_connect(client, pair[1], str_from(host));
    for (int i = 0; i < 20; i++) {
        if (is_open(outcome.client))
            outcome.client = tls_session_handshake(b);
        if (is_open(outcome.server))
            outcome.server = tls_session_handshake(a);
    }
    if (outcome.client == TLS_DONE && outcome.server == TLS_FAILED)
        outcome.client = tls_session_read(b, &byte, 1, &got);
    note_error(a, outcome.server, outcome.server_text);
    note_error(b, outcome.client, outcome.client_text);
    tls_session_free(a);
    tls_session_free(b);
    close(pair[0]);
    close(pair[1]);
    return outcome;
}

static struct outcome try_both(const struct tls_server_config *server,
                               const struct tls_client_config *client, const char *host)
{
    struct tls_server *a = NULL;
    struct tls_client *b = NULL;
    CHECK_OK(tls_server_create(server, TLS_HTTP2, quiet, &a));
    CHECK_OK(tls_client_create(client, quiet, &b));
    struct outcome outcome = shake_hands(a, b, host);
    tls_server_unref(a);
    tls_client_unref(b);
    return outcome;
}

static void check_text(const char *got, const char *part)
{
    if (!strstr(got, part))
        fail_msg("%s: \"%s\" has no \"%s\"", test_case_name, got, part);
}

static const struct {
    const char *name, *server, *host, *client;
    enum tls_client_auth auth;
    bool skip;
    const char *server_says, *client_says; /* NULL: it is well */
} handshakes[] = {
    {"by name", "server", "localhost", NULL, TLS_NO_CLIENT_CERT, 0, NULL, NULL},
    {"by name with a dot", "server", "localhost.", NULL, TLS_NO_CLIENT_CERT, 0, NULL, NULL},
    {"by IPv4", "server", "127.0.0.1", NULL, TLS_NO_CLIENT_CERT, 0, NULL, NULL},
    {"by IPv6", "server", "::1", NULL, TLS_NO_CLIENT_CERT, 0, NULL, NULL},
    {"another address", "server", "127.0.0.2", NULL, TLS_NO_CLIENT_CERT, 0,
     "remote error: tls: bad certificate", "is valid for localhost, 127.0.0.1, ::1, not 127.0.0.2"},
    {"the subject does not count", "server", "server", NULL, TLS_NO_CLIENT_CERT, 0,
     "bad certificate", "not server"},
    {"another authority", "other-server", "localhost", NULL, TLS_NO_CLIENT_CERT, 0,
     "remote error: tls: unknown certificate authority",
     "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
    {"not verified", "other-server", "nowhere", NULL, TLS_NO_CLIENT_CERT, 1, NULL, NULL},
    {"over", "expired", "localhost", NULL, TLS_NO_CLIENT_CERT, 0,
     "remote error: tls: expired certificate", "certificate has expired or is not yet valid"},
    {"a client's", "server", "localhost", "client", TLS_REQUIRE_AND_VERIFY_CLIENT_CERT, 0, NULL,
     NULL},
    {"no client's", "server", "localhost", NULL, TLS_REQUIRE_AND_VERIFY_CLIENT_CERT, 0,
     "tls: client didn't provide a certificate", "remote error: tls: certificate required"},
    {"another client's", "server", "localhost", "other-client", TLS_REQUIRE_AND_VERIFY_CLIENT_CERT,
     0, "certificate signed by unknown authority", "unknown certificate authority"},
    {"any client's", "server", "localhost", "other-client", TLS_REQUIRE_ANY_CLIENT_CERT, 0, NULL,
     NULL},
    {"none, where any is asked for", "server", "localhost", NULL, TLS_REQUIRE_ANY_CLIENT_CERT, 0,
     "didn't provide a certificate", "certificate required"},
    {"requested and none", "server", "localhost", NULL, TLS_REQUEST_CLIENT_CERT, 0, NULL, NULL},
    {"if given: none", "server", "localhost", NULL, TLS_VERIFY_CLIENT_CERT_IF_GIVEN, 0, NULL, NULL},
    {"if given: a wrong one", "server", "localhost", "other-client",
     TLS_VERIFY_CLIENT_CERT_IF_GIVEN, 0, "unknown authority", "unknown certificate"},
};

TEST(both_sides_agree_or_say_why_not)
{
    static const struct str none = STR_INIT("");
    for_each_case(c, handshakes) {
        char crt[64], key[64];
        snprintf(crt, sizeof(crt), "%s.crt", c->client ? c->client : "");
        snprintf(key, sizeof(key), "%s.key", c->client ? c->client : "");
        struct tls_server_config server = server_config(c->server);
        server.client_auth = c->auth;
        if (c->auth != TLS_NO_CLIENT_CERT)
            server.client_ca.file = path("ca.crt");
        const struct tls_client_config client = {.certificate_file = c->client ? path(crt) : none,
                                                 .key_file = c->client ? path(key) : none,
                                                 .ca_file = path("ca.crt"),
                                                 .skip_verify = c->skip,
                                                 .min_version = TLS_VERSION_1_3};
        struct outcome outcome = try_both(&server, &client, c->host);
        CHECK_EQ(outcome.server, c->server_says ? TLS_FAILED : TLS_DONE);
        CHECK_EQ(outcome.client, c->client_says ? TLS_FAILED : TLS_DONE);
        check_text(outcome.server_text, c->server_says ? c->server_says : "");
        check_text(outcome.client_text, c->client_says ? c->client_says : "");
    }
}

TEST(versions_suites_and_curves_are_what_was_asked_for)
{
    static const struct str tls13[] = {STR_INIT("TLS_AES_128_GCM_SHA256")};
    static const struct str rsa[] = {STR_INIT("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")};
    static const struct str ecdsa[] = {STR_INIT("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
                                       STR_INIT("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA")};
    static const struct str curves[] = {STR_INIT("X25519MLKEM768"), STR_INIT("CurveP521")};
    const struct {
        const char *name;
        enum tls_version min, max, client_min;
        const struct str *ciphers;
        size_t cipher_count;
        const struct str *curves;
        size_t curve_count;
        bool well;
    } cases[] = {
        {"1.3 only", TLS_VERSION_1_3, TLS_VERSION_1_3, TLS_VERSION_1_3, NULL, 0, NULL, 0, true},
        {"1.2 only", TLS_VERSION_1_2, TLS_VERSION_1_2, TLS_VERSION_1_2, NULL, 0, NULL, 0, true},
        {"1.0 only", TLS_VERSION_1_0, TLS_VERSION_1_0, TLS_VERSION_1_0, NULL, 0, NULL, 0, true},
        {"too old", TLS_VERSION_1_0, TLS_VERSION_1_2, TLS_VERSION_1_3, NULL, 0, NULL, 0, false},
        {"suites of 1.3", TLS_VERSION_1_2, TLS_VERSION_1_3, TLS_VERSION_1_2, tls13, 1, NULL, 0,
         true},
        {"suites for another key", TLS_VERSION_1_2, TLS_VERSION_1_2, TLS_VERSION_1_2, rsa, 1, NULL,
         0, false},
        {"suites do not bind 1.3", TLS_VERSION_1_2, TLS_VERSION_1_3, TLS_VERSION_1_2, rsa, 1, NULL,
         0, true},
        {"suites for the key", TLS_VERSION_1_2, TLS_VERSION_1_2, TLS_VERSION_1_2, ecdsa, 2, NULL, 0,
         true},
        {"curves", TLS_VERSION_1_2, TLS_VERSION_1_3, TLS_VERSION_1_2, NULL, 0, curves, 2, true},
    };
    for_each_case(c, cases) {
        struct tls_server_config server = server_config("server");
        server.min_version = c->min;
        server.max_version = c->max;
        server.ciphers = c->ciphers;
        server.cipher_count = c->cipher_count;
        server.curves = c->curves;
        server.curve_count = c->curve_count;
        const struct tls_client_config client = {.ca_file = path("ca.crt"),
                                                 .min_version = c->client_min};
        struct outcome outcome = try_both(&server, &client, "localhost");
        CHECK_EQ(outcome.server, c->well ? TLS_DONE : TLS_FAILED);
        CHECK_EQ(outcome.client, c->well ? TLS_DONE : TLS_FAILED);
    }
}

TEST(a_client_must_have_one_of_the_allowed_names)
{
    static const struct str names[] = {STR_INIT("a.example"), STR_INIT("reader.example")};
    struct tls_server_config server = server_config("server");
    server.client_ca.file = path("ca.crt");
    server.client_auth = TLS_REQUIRE_AND_VERIFY_CLIENT_CERT;
    server.client_sans = names;
    const struct tls_client_config client = {.certificate_file = path("client.crt"),
                                             .key_file = path("client.key"),
                                             .ca_file = path("ca.crt")};
    server.client_san_count = 2;
    CHECK_EQ(try_both(&server, &client, "localhost").server, TLS_DONE);
    server.client_san_count = 1;
    struct outcome outcome = try_both(&server, &client, "localhost");
    CHECK_EQ(outcome.server, TLS_FAILED);
    check_text(outcome.server_text, "could not find allowed SANs in client cert");
    CHECK_EQ(outcome.client, TLS_FAILED); /* it has been told */
    server.client_auth = TLS_REQUIRE_ANY_CLIENT_CERT;
    server.client_ca.file = path("other-ca.crt");
    check_text(try_both(&server, &client, "localhost").server_text, "could not find allowed SANs");
    server.client_san_count = 2;
    CHECK_EQ(try_both(&server, &client, "localhost").server, TLS_DONE);
}

static void check_server(const struct tls_server_config *config, const char *part)
{
    struct tls_server *server = NULL;
    CHECK_ERROR_TEXT(tls_server_create(config, TLS_HTTP2, quiet, &server), ERROR_INVALID, part);
}

TEST(what_cannot_be_used_is_refused_by_its_file)
{
    static const struct str bad[] = {STR_INIT("FOO")};
    struct tls_server_config config = server_config("server");
    struct tls_server *server;
    config.key.file = path("client.key");
    check_server(&config, "tls: private key does not match public key");
    check_server(&config, "client.key is not the key of");
    config.key.file = path("server.crt");
    check_server(&config, "server.crt: no private key in PEM form");
    config = server_config("server");
    config.certificate.file = path("server.key");
    check_server(&config, "server.key: no usable certificate in PEM form");
    config = server_config("server");
    config.client_ca.file = path("ca.key");
    check_server(&config, "client CA: ");
    config = server_config("nothing");
    CHECK_ERROR_TEXT(tls_server_create(&config, TLS_HTTP2, quiet, &server), ERROR_NOT_FOUND,
                     "server credentials: open ");
    config.key.file = STR("");
    check_server(&config, "both server key and certificate must be provided");
    config.certificate.file = STR("");
    config.client_ca.file = path("ca.crt");
    check_server(&config, "when a client CA is used a server key and certificate must also be");
    config = server_config("server");
    config.ciphers = bad;
    config.cipher_count = 1;
    check_server(&config,
                 "invalid cipher suite: FOO, valid values are TLS_AES_128_GCM_SHA256, TLS");
    config.cipher_count = 0;
    config.curves = bad;
    config.curve_count = 1;
    check_server(&config, "invalid curve: FOO, valid values are CurveP256, CurveP384, CurveP521, "
                          "SecP256r1MLKEM768, SecP384r1MLKEM1024, X25519, X25519MLKEM768");
    struct tls_client *client;
    const struct tls_client_config half = {.certificate_file = path("client.crt")};
    CHECK_ERROR_TEXT(tls_client_create(&half, quiet, &client), ERROR_INVALID,
                     "both client key and certificate must be provided");
}

TEST(files_that_change_are_read_again_and_bad_ones_leave_the_good)
{
    copy_file("ca.crt", "my-ca.crt");
    copy_file("server.crt", "my.crt");
    copy_file("server.key", "my.key");
    copy_file("client.crt", "my-client.crt");
    copy_file("client.key", "my-client.key");
    struct tls_server_config config = server_config("my");
    struct tls_server *server = NULL;
    struct tls_client *client = NULL;
    config.client_ca.file = path("my-ca.crt");
    config.client_auth = TLS_REQUIRE_AND_VERIFY_CLIENT_CERT;
    const struct tls_client_config client_config = {.certificate_file = path("my-client.crt"),
                                                    .key_file = path("my-client.key"),
                                                    .ca_file = path("my-ca.crt")};
    CHECK_OK(tls_server_create(&config, TLS_HTTP2, quiet, &server));
    CHECK_OK(tls_client_create(&client_config, quiet, &client));
    CHECK_EQ(shake_hands(server, client, "localhost").server, TLS_DONE);
    copy_file("other-server.crt", "my.crt"); /* without its key */
    CHECK_EQ(shake_hands(server, client, "localhost").server, TLS_DONE);
    copy_file("other-server.key", "my.key"); /* by an authority that the client does not know */
    check_text(shake_hands(server, client, "localhost").client_text, "unknown authority");
    copy_file("other-ca.crt", "my-ca.crt"); /* both read it: now the client's is not known */
    check_text(shake_hands(server, client, "localhost").server_text, "unknown authority");
    copy_file("other-client.crt", "my-client.crt");
    copy_file("other-client.key", "my-client.key");
    CHECK_EQ(shake_hands(server, client, "localhost").server, TLS_DONE);
    unlink(path("my.crt").data);
    CHECK_EQ(shake_hands(server, client, "localhost").server, TLS_DONE);
    tls_server_unref(server);
    tls_client_unref(client);
}

/* --- connections --- */

enum { TO_SEND = 24 * 1024 * 1024 };

/* One side: sends TO_SEND bytes of a known sequence in pieces of all sizes, and checks the other's,
 * resting now and then. */
struct side {
    struct connection *connection;
    size_t sent, received;
    uint64_t seed;
    bool wrong, broken;
};

struct talk {
    struct event_loop *loop;
    struct tls_server *server;
    struct tls_client *client;
    int fds[2];
    struct side sides[2];
};

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

static void release_copy(void *owner)
{
    free(owner);
}

static void side_fill(struct side *side)
{
    while (side->sent < TO_SEND && connection_unsent(side->connection) < CONNECTION_HIGH) {
        size_t len = 1 + test_random_below(&side->seed, test_random(&side->seed) % 4 ? 300 : 50000);
        len = size_min(len, TO_SEND - side->sent);
        uint8_t *bytes = malloc(len);
        for (size_t i = 0; i < len; i++)
            bytes[i] = byte_at(side->sent + i);
        side->sent += len;
        if (len % 2) {
            connection_write(side->connection, bytes, len);
            free(bytes);
        } else {
            connection_write_shared(side->connection, bytes, len, release_copy, bytes);
        }
    }
    connection_flush(side->connection);
}

static void side_read_again(void *arg)
{
    struct side *side = arg;
    connection_read(side->connection, true);
}

static void side_data(void *self, struct bytes data)
{
    struct side *side = self;
    for (size_t i = 0; i < data.len; i++)
        side->wrong |= data.data[i] != byte_at(side->received + i);
    side->received += data.len;
    if (test_random_below(&side->seed, 4) == 0) {
        connection_read(side->connection, false);
        event_loop_post(connection_loop(side->connection), side_read_again, side);
    }
    side_fill(side);
}

static void side_drained(void *self)
{
    side_fill(self);
}

static void side_closed(void *self)
{
    ((struct side *)self)->broken = true;
}

static void side_broken(void *self, struct error *err)
{
    error_free(err);
    ((struct side *)self)->broken = true;
}

static const struct connection_handler side_handler = {.connected = side_drained,
                                                       .data = side_data,
                                                       .drained = side_drained,
                                                       .peer_closed = side_closed,
                                                       .broken = side_broken};

static void talk_begin(void *arg)
{
    struct talk *talk = arg;
    for (int i = 0; i < 2; i++) {
        struct side *side = &talk->sides[i];
        side->seed = test_seed() + (unsigned)i;
        side->connection = connection_create(talk->loop, talk->fds[i], &side_handler, side);
        if (i == 0)
            connection_accept_tls(side->connection, talk->server, 10000);
        else
            connection_connect_tls(side->connection, talk->client, STR("localhost"), 10000);
        connection_read(side->connection, true);
    }
    side_fill(&talk->sides[0]); /* waits for the handshake */
}

struct progress {
    struct talk *talk;
    bool done;
};

static void talk_look(void *arg)
{
    struct progress *progress = arg;
    const struct side *sides = progress->talk->sides;
    progress->done = (sides[0].received >= TO_SEND && sides[1].received >= TO_SEND) ||
                     sides[0].broken || sides[1].broken;
}

static void talk_end(void *arg)
{
    struct talk *talk = arg;
    connection_free(talk->sides[0].connection);
    connection_free(talk->sides[1].connection);
}

TEST(connections_carry_what_is_written_in_pieces_of_any_size)
{
    struct tls_server_config server = server_config("server");
    const struct tls_client_config client = {.ca_file = path("ca.crt")};
    struct event_loops *loops = event_loops_create(1);
    struct talk talk = {.loop = event_loops_pick(loops)};
    struct progress progress = {&talk, false};
    CHECK_OK(tls_server_create(&server, TLS_HTTP2, quiet, &talk.server));
    CHECK_OK(tls_client_create(&client, quiet, &talk.client));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, talk.fds), 0);
    loop_call(talk.loop, talk_begin, &talk);
    for (int i = 0; i < 6000 && !progress.done; i++) {
        usleep(10 * 1000);
        loop_call(talk.loop, talk_look, &progress);
    }
    loop_call(talk.loop, talk_end, &talk);
    for (int i = 0; i < 2; i++) {
        CHECK(!talk.sides[i].broken);
        CHECK(!talk.sides[i].wrong);
        CHECK_EQ(talk.sides[i].received, TO_SEND);
    }
    tls_server_unref(talk.server);
    tls_client_unref(talk.client);
    event_loops_free(loops);
}

TEST_MAIN_WITH(setup, teardown, TEST_ENTRY(both_sides_agree_or_say_why_not),
               TEST_ENTRY(versions_suites_and_curves_are_what_was_asked_for),
               TEST_ENTRY(a_client_must_have_one_of_the_allowed_names),
               TEST_ENTRY(what_cannot_be_used_is_refused_by_its_file),
               TEST_ENTRY(files_that_change_are_read_again_and_bad_ones_leave_the_good),
               TEST_ENTRY(connections_carry_what_is_written_in_pieces_of_any_size))
