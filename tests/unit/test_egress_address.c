/* Which addresses may be connected to: the registries of IANA, what is wrapped, what an operator opens. INV-08 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "egress/address.h"
#include "support.h"

#include <arpa/inet.h>

static struct ifab_address address(const char *text)
{
    struct ifab_address a;
    if (!ifab_address_parse(ifab_view_str(text), &a))
        fail_msg("not an address: %s", text);
    return a;
}

static void classifies_by_the_registries(void **state)
{
    static const struct {
        const char *text;
        enum ifab_address_class class_;
    } rows[] = {
        {"1.1.1.1", IFAB_ADDRESS_GLOBAL},
        {"8.8.8.8", IFAB_ADDRESS_GLOBAL},
        {"223.255.255.255", IFAB_ADDRESS_GLOBAL},
        {"11.0.0.0", IFAB_ADDRESS_GLOBAL},
        {"9.255.255.255", IFAB_ADDRESS_GLOBAL},
        {"172.15.255.255", IFAB_ADDRESS_GLOBAL},
        {"172.32.0.0", IFAB_ADDRESS_GLOBAL},
        {"100.63.255.255", IFAB_ADDRESS_GLOBAL},
        {"100.128.0.0", IFAB_ADDRESS_GLOBAL},
        {"192.167.255.255", IFAB_ADDRESS_GLOBAL},
        {"192.169.0.0", IFAB_ADDRESS_GLOBAL},
        {"198.17.255.255", IFAB_ADDRESS_GLOBAL},
        {"198.20.0.0", IFAB_ADDRESS_GLOBAL},
        {"169.253.255.255", IFAB_ADDRESS_GLOBAL},
        {"128.0.0.0", IFAB_ADDRESS_GLOBAL},
        {"0.0.0.0", IFAB_ADDRESS_UNSPECIFIED},
        {"0.1.2.3", IFAB_ADDRESS_UNSPECIFIED},
        {"10.0.0.0", IFAB_ADDRESS_PRIVATE},
        {"10.255.255.255", IFAB_ADDRESS_PRIVATE},
        {"100.64.0.0", IFAB_ADDRESS_SHARED},
        {"100.127.255.255", IFAB_ADDRESS_SHARED},
        {"127.0.0.1", IFAB_ADDRESS_LOOPBACK},
        {"127.255.255.255", IFAB_ADDRESS_LOOPBACK},
        {"169.254.0.1", IFAB_ADDRESS_LINK_LOCAL},
        {"169.254.169.254", IFAB_ADDRESS_METADATA},
        {"169.254.170.2", IFAB_ADDRESS_METADATA},
        {"100.100.100.200", IFAB_ADDRESS_METADATA},
        {"168.63.129.16", IFAB_ADDRESS_METADATA},
        {"192.0.0.192", IFAB_ADDRESS_METADATA},
        {"172.16.0.0", IFAB_ADDRESS_PRIVATE},
        {"172.31.255.255", IFAB_ADDRESS_PRIVATE},
        {"192.0.0.1", IFAB_ADDRESS_RESERVED},
        {"192.0.2.1", IFAB_ADDRESS_DOCUMENTATION},
        {"192.88.99.1", IFAB_ADDRESS_RESERVED},
        {"192.168.1.1", IFAB_ADDRESS_PRIVATE},
        {"198.18.0.0", IFAB_ADDRESS_BENCHMARK},
        {"198.19.255.255", IFAB_ADDRESS_BENCHMARK},
        {"198.51.100.1", IFAB_ADDRESS_DOCUMENTATION},
        {"203.0.113.1", IFAB_ADDRESS_DOCUMENTATION},
        {"224.0.0.1", IFAB_ADDRESS_MULTICAST},
        {"239.255.255.255", IFAB_ADDRESS_MULTICAST},
        {"240.0.0.1", IFAB_ADDRESS_RESERVED},
        {"255.255.255.254", IFAB_ADDRESS_RESERVED},
        {"255.255.255.255", IFAB_ADDRESS_BROADCAST},
        {"::", IFAB_ADDRESS_UNSPECIFIED},
        {"::1", IFAB_ADDRESS_LOOPBACK},
        {"::2", IFAB_ADDRESS_UNSPECIFIED},
        {"2606:4700:4700::1111", IFAB_ADDRESS_GLOBAL},
        {"2000::", IFAB_ADDRESS_GLOBAL},
        {"3ffe::1", IFAB_ADDRESS_GLOBAL},
        {"3fff::1", IFAB_ADDRESS_DOCUMENTATION},
        {"3fff:1000::", IFAB_ADDRESS_GLOBAL},
        {"4000::", IFAB_ADDRESS_RESERVED},
        {"1fff::", IFAB_ADDRESS_RESERVED},
        {"fc00::1", IFAB_ADDRESS_PRIVATE},
        {"fdff::1", IFAB_ADDRESS_PRIVATE},
        {"fe80::1", IFAB_ADDRESS_LINK_LOCAL},
        {"fec0::1", IFAB_ADDRESS_PRIVATE},
        {"ff02::1", IFAB_ADDRESS_MULTICAST},
        {"2001:db8::1", IFAB_ADDRESS_DOCUMENTATION},
        {"2001:2::1", IFAB_ADDRESS_BENCHMARK},
        {"2001:10::1", IFAB_ADDRESS_RESERVED},
        {"2001:1ff::1", IFAB_ADDRESS_RESERVED},
        {"2001:200::1", IFAB_ADDRESS_GLOBAL},
        {"100::1", IFAB_ADDRESS_RESERVED},
        {"5f00::1", IFAB_ADDRESS_RESERVED},
        {"fd00:ec2::254", IFAB_ADDRESS_METADATA},
        {"fd20:ce::254", IFAB_ADDRESS_METADATA},
        /* wrapped */
        {"::ffff:127.0.0.1", IFAB_ADDRESS_LOOPBACK},
        {"::ffff:a9fe:a9fe", IFAB_ADDRESS_METADATA},
        {"::ffff:8.8.8.8", IFAB_ADDRESS_GLOBAL},
        {"::ffff:0.0.0.0", IFAB_ADDRESS_UNSPECIFIED},
        {"::ffff:0:127.0.0.1", IFAB_ADDRESS_RESERVED},
        {"::7f00:1", IFAB_ADDRESS_LOOPBACK},
        {"::a9fe:a9fe", IFAB_ADDRESS_METADATA},
        {"::8.8.8.8", IFAB_ADDRESS_RESERVED},
        {"64:ff9b::8.8.8.8", IFAB_ADDRESS_GLOBAL},
        {"64:ff9b::127.0.0.1", IFAB_ADDRESS_LOOPBACK},
        {"64:ff9b::169.254.169.254", IFAB_ADDRESS_METADATA},
        {"64:ff9b::10.1.2.3", IFAB_ADDRESS_PRIVATE},
        {"64:ff9b::1:8.8.8.8", IFAB_ADDRESS_RESERVED},
        {"64:ff9b:1::8.8.8.8", IFAB_ADDRESS_TRANSLATED},
        {"64:ff9b:1::169.254.169.254", IFAB_ADDRESS_METADATA},
        {"64:ff9b:1:a9fe:a9:fe00::", IFAB_ADDRESS_METADATA},
        {"64:ff9b:1:00a9:00fe:a9fe::", IFAB_ADDRESS_METADATA},
        {"64:ff9b:1:0:00a9:fea9:fe00:0", IFAB_ADDRESS_METADATA},
        {"2002:7f00:1::", IFAB_ADDRESS_LOOPBACK},
        {"2002:a9fe:a9fe::1", IFAB_ADDRESS_METADATA},
        {"2002:808:808::1", IFAB_ADDRESS_GLOBAL},
        {"2002:c0a8:101::1", IFAB_ADDRESS_PRIVATE},
        {"2001:0:808:808:0:0:f5ff:fffe", IFAB_ADDRESS_PRIVATE} /* Teredo, client 10.0.0.1 */,
        {"2001:0:7f00:1::f7f7:f7f7", IFAB_ADDRESS_LOOPBACK} /* its server */,
        {"2001:0:808:808::5601:5601", IFAB_ADDRESS_METADATA},
        {"2001:0:808:808::f7f7:f7f7", IFAB_ADDRESS_GLOBAL},
        {"2606:4700::5efe:127.0.0.1", IFAB_ADDRESS_LOOPBACK},
        {"2606:4700::200:5efe:169.254.169.254", IFAB_ADDRESS_METADATA},
        {"2606:4700::5efe:8.8.8.8", IFAB_ADDRESS_GLOBAL},
    };
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(rows); i++) {
        struct ifab_address a = address(rows[i].text);
        enum ifab_address_class got = ifab_address_classify(&a, NULL);
        if (got != rows[i].class_)
            fail_msg("%s: %s, not %s", rows[i].text, ifab_address_class_text(got), ifab_address_class_text(rows[i].class_));
    }
}

/* Seeded: text of the C library is read as it reads it, and what we write reads back as the same. */
static void reads_and_writes_as_the_c_library_does(void **state)
{
    struct test_random random = {test_env_u64("IFAB_SEED", 77)};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[16];
        char theirs[64], ours[IFAB_ADDRESS_TEXT_MAX];
        bool v6 = test_random_below(&random, 4) != 0;
        test_random_bytes(&random, bytes, sizeof bytes);
        for (size_t j = 0; j < 16; j++) {
            if (test_random_below(&random, 3) != 0)
                bytes[j] = 0;
        }
        assert_non_null(inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, theirs, sizeof theirs));
        struct ifab_address a = address(theirs), b;
        assert_int_equal(a.v6, v6);
        assert_memory_equal(a.bytes, bytes, v6 ? 16 : 4);
        ifab_address_write(&a, ours);
        b = address(ours);
        assert_true(ifab_address_equal(&a, &b));
        if (strchr(theirs, '.') == NULL || !v6)
            assert_string_equal(ours, theirs);
        /* one random change: what we accept, the library accepts as the same */
        theirs[test_random_below(&random, strlen(theirs))] = "0123456789abcdefABCF:.%/xg "[test_random_below(&random, 27)];
        if (ifab_address_parse(ifab_view_str(theirs), &a)) {
            assert_int_equal(inet_pton(a.v6 ? AF_INET6 : AF_INET, theirs, bytes), 1);
            assert_memory_equal(a.bytes, bytes, a.v6 ? 16 : 4);
        }
    }
}
static void refuses_texts_that_are_no_address(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      ":",
                                      ":::",
                                      "1",
                                      "1.2.3",
                                      "1.2.3.4.5",
                                      "01.2.3.4",
                                      "1.2.3.256",
                                      "1.2.3.4 ",
                                      " 1.2.3.4",
                                      "1..2.3",
                                      "0x1.2.3.4",
                                      "1.2.3.4/8",
                                      "1::2::3",
                                      "1:2:3:4:5:6:7",
                                      "1:2:3:4:5:6:7:8:9",
                                      "1:2:3:4:5:6:7:8::",
                                      "::12345",
                                      "1:",
                                      ":1",
                                      "::1%1",
                                      "::1.2.3",
                                      "::1.2.3.4.5",
                                      "1:2:3:4:5:6:7:1.2.3.4",
                                      "[::1]",
                                      "g::",
                                      "-1.2.3.4",
                                      "1.2.3.+4"};
    struct ifab_address a;
    (void)state;
    for (size_t i = 0; i < IFAB_COUNT(bad); i++) {
        if (ifab_address_parse(ifab_view_str(bad[i]), &a))
            fail_msg("accepted: %s", bad[i]);
    }
    assert_false(ifab_address_parse(ifab_view_of("1.2.3.4\0", 8), &a));
}

static void reads_nets_strictly(void **state)
{
    struct ifab_cidr net;
    (void)state;
    static const char *const good[] = {"10.0.0.0/8", "0.0.0.0/0", "192.168.1.7", "192.168.1.7/32", "fd00::/8", "::/0", "fe80::1/128", "10.128.0.0/9"};
    static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1",   "10.0.0.0/8 ", "fd00::1/8",
                                      "fd00::/129", "/8",          "",          "10/8",        "10.0.0.0/1000", "10.192.0.0/9"};
    for (size_t i = 0; i < IFAB_COUNT(good); i++)
        assert_int_equal(ifab_cidr_parse(ifab_view_str(good[i]), &net, NULL), IFAB_OK);
    for (size_t i = 0; i < IFAB_COUNT(bad); i++)
        assert_int_equal(ifab_cidr_parse(ifab_view_str(bad[i]), &net, NULL), IFAB_INVALID);
    struct ifab_address in = address("10.129.0.1"), out = address("10.127.255.255"), six = address("::ffff:10.129.0.1");
    assert_int_equal(ifab_cidr_parse(IFAB_VIEW("10.128.0.0/9"), &net, NULL), IFAB_OK);
    assert_true(ifab_cidr_contains(&net, &in));
    assert_false(ifab_cidr_contains(&net, &out));
    assert_false(ifab_cidr_contains(&net, &six));
}

static void an_exception_opens_one_net_and_port_to_one_capability(void **state)
{
    struct ifab_egress_exception open[] = {{IFAB_VIEW("if://capability/vmix.switcher"), {.bits = 0}, 8088},
                                           {IFAB_VIEW("if://capability/vmix.switcher"), {.bits = 0}, 80}};
    struct ifab_view vmix = IFAB_VIEW("if://capability/vmix.switcher");
    enum ifab_address_class class_;
    (void)state;
    assert_int_equal(ifab_cidr_parse(IFAB_VIEW("192.168.1.0/24"), &open[0].net, NULL), IFAB_OK);
    assert_int_equal(ifab_cidr_parse(IFAB_VIEW("0.0.0.0/0"), &open[1].net, NULL), IFAB_OK);
    struct ifab_address a = address("192.168.1.5"), mapped = address("::ffff:192.168.1.5"), near = address("192.168.2.5");
#define JUDGE(address_, port, who) ifab_address_judge(&(address_), (port), true, (who), open, 2, NULL, 0, &class_)
    assert_int_equal(JUDGE(a, 8088, vmix), IFAB_ADDRESS_PERMITTED);
    assert_int_equal(JUDGE(mapped, 8088, vmix), IFAB_ADDRESS_PERMITTED);
    assert_int_equal(JUDGE(a, 8089, vmix), IFAB_ADDRESS_REFUSED);
    assert_int_equal(class_, IFAB_ADDRESS_PRIVATE);
    assert_int_equal(JUDGE(a, 0, vmix), IFAB_ADDRESS_REFUSED);
    assert_int_equal(JUDGE(near, 8088, vmix), IFAB_ADDRESS_REFUSED);
    assert_int_equal(JUDGE(a, 8088, IFAB_VIEW("if://capability/vmix.switcher2")), IFAB_ADDRESS_REFUSED);
    assert_int_equal(JUDGE(a, 8088, IFAB_VIEW("")), IFAB_ADDRESS_REFUSED);
    /* never at all, whatever stands in the configuration: metadata, unspecified, multicast, broadcast */
    static const char *const never[] = {"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "100.100.100.200", "0.0.0.0",
                                        "224.0.0.1",       "255.255.255.255",        "fd00:ec2::254"};
    for (size_t i = 0; i < IFAB_COUNT(never); i++) {
        struct ifab_address n = address(never[i]);
        assert_int_equal(JUDGE(n, 80, vmix), IFAB_ADDRESS_IS_NEVER);
    }
}
static void own_listeners_are_closed_to_everybody(void **state)
{
    struct ifab_egress_exception open = {IFAB_VIEW("c"), {.bits = 0}, 8474};
    struct ifab_egress_listener listeners[] = {{address("127.0.0.1"), 8474}, {address("::ffff:10.0.0.9"), 8474}, {address("0.0.0.0"), 9000}};
    struct ifab_view c = IFAB_VIEW("c");
    (void)state;
    assert_int_equal(ifab_cidr_parse(IFAB_VIEW("0.0.0.0/0"), &open.net, NULL), IFAB_OK);
#define OWN(text, port, local) (probe = address(text), ifab_address_judge(&probe, (port), (local), c, &open, 1, listeners, 3, NULL))
    struct ifab_address probe;
    assert_int_equal(OWN("127.0.0.1", 8474, true), IFAB_ADDRESS_IS_OURS);
    assert_int_equal(OWN("::ffff:127.0.0.1", 8474, true), IFAB_ADDRESS_IS_OURS);
    assert_int_equal(OWN("64:ff9b::127.0.0.1", 8474, false), IFAB_ADDRESS_IS_OURS);
    assert_int_equal(OWN("10.0.0.9", 8474, false), IFAB_ADDRESS_IS_OURS);
    assert_int_equal(OWN("127.0.0.2", 8474, true), IFAB_ADDRESS_PERMITTED);
    assert_int_equal(OWN("8.8.8.8", 9000, true), IFAB_ADDRESS_IS_OURS); /* a global address of this machine */
    assert_int_equal(OWN("8.8.8.8", 9000, false), IFAB_ADDRESS_PERMITTED);
    assert_int_equal(OWN("::1", 9000, true), IFAB_ADDRESS_IS_OURS);
}
static void zeroed_memory_permits_nothing(void **state)
{
    struct ifab_address zero = {.v6 = false};
    struct ifab_egress_exception none = {.port = 0};
    (void)state;
    assert_int_equal(ifab_address_judge(&zero, 0, false, ifab_view_of(NULL, 0), &none, 1, NULL, 0, NULL), IFAB_ADDRESS_IS_NEVER);
    zero = address("10.0.0.1");
    assert_int_equal(ifab_address_judge(&zero, 0, false, ifab_view_of(NULL, 0), &none, 1, NULL, 0, NULL), IFAB_ADDRESS_REFUSED);
    assert_true(ifab_address_class_never((enum ifab_address_class)99));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(classifies_by_the_registries),
    cmocka_unit_test(reads_and_writes_as_the_c_library_does),
    cmocka_unit_test(refuses_texts_that_are_no_address),
    cmocka_unit_test(reads_nets_strictly),
    cmocka_unit_test(an_exception_opens_one_net_and_port_to_one_capability),
    cmocka_unit_test(own_listeners_are_closed_to_everybody),
    cmocka_unit_test(zeroed_memory_permits_nothing),
};
TEST_MAIN(tests)
