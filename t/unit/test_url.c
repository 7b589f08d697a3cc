
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <unit.h>
#include <ngx_cred_redis.h>


static void
test_good(const char *text, const char *expected)
{
    char                   *err;
    ngx_str_t              *s, *got;
    ngx_cred_redis_url_t    url;
    ngx_cred_net_host_t   none, *host;

    s = unit_bytes(text, ngx_strlen(text));
    err = NULL;

    if (ngx_cred_redis_url_parse(unit_pool, s, &url, &err) != NGX_OK) {
        unit_ok(0, "%s: %s", text, err ? err : "no error text");
        return;
    }

    ngx_memzero(&none, sizeof(ngx_cred_net_host_t));
    host = url.nhosts ? &url.hosts[0] : &none;

    got = unit_format("%s user=%V password=%V host=%V port=%ui path=%V "
                      "db=%ui prefix=%V",
                      url.tls ? "tls" : "plain", &url.user, &url.password,
                      &host->name, (ngx_uint_t) host->port, &url.path, url.db,
                      &url.prefix);

    unit_is(got, unit_bytes(expected, ngx_strlen(expected)), "%s", text);
    unit_is(&url.text, s, "%s: as written", text);
}


/* what leads to several servers */

static void
test_servers(const char *text, const char *expected)
{
    char                  *err;
    ngx_str_t             *got;
    ngx_uint_t             i;
    ngx_cred_redis_url_t   url;

    static const char  *kinds[] = { "server", "sentinel", "cluster" };

    err = NULL;

    if (ngx_cred_redis_url_parse(unit_pool,
                                 unit_bytes(text, ngx_strlen(text)), &url,
                                 &err)
        != NGX_OK)
    {
        unit_ok(0, "%s: %s", text, err ? err : "no error text");
        return;
    }

    got = unit_format("%s%s master=%V user=%V password=%V sentinel=%V db=%ui "
                      "prefix=%V",
                      url.tls ? "tls " : "", kinds[url.kind], &url.master,
                      &url.user, &url.password, &url.sentinel_password, url.db,
                      &url.prefix);

    for (i = 0; i < url.nhosts; i++) {
        got = unit_format("%V %V|%ui", got, &url.hosts[i].name,
                          (ngx_uint_t) url.hosts[i].port);
    }

    unit_is(got, unit_bytes(expected, ngx_strlen(expected)), "%s", text);
}


static void
test_bad(const char *text)
{
    char                  *err;
    ngx_int_t              rc;
    ngx_cred_redis_url_t   url;

    err = NULL;

    rc = ngx_cred_redis_url_parse(unit_pool,
                                  unit_bytes(text, ngx_strlen(text)), &url,
                                  &err);

    unit_ok(rc == NGX_ERROR && err != NULL && err[0] != '\0',
            "not \"%s\": %s", text, err ? err : "");
}


static void
test_name(const char *text, const char *expected)
{
    char                  *err;
    ngx_cred_redis_url_t   url;

    ngx_memzero(&url, sizeof(ngx_cred_redis_url_t));

    (void) ngx_cred_redis_url_parse(unit_pool,
                                    unit_bytes(text, ngx_strlen(text)), &url,
                                    &err);

    unit_is(&url.name, unit_bytes(expected, ngx_strlen(expected)),
            "%s in logs", text);
}


static void
test_urls(void)
{
    test_good("redis://localhost", "plain user= password= host=localhost "
              "port=6379 path= db=0 prefix=");
    test_good("redis://10.0.0.5:6380/3", "plain user= password= "
              "host=10.0.0.5 port=6380 path= db=3 prefix=");
    test_good("redis://h/", "plain user= password= host=h port=6379 path= "
              "db=0 prefix=");
    test_good("redis://h:1", "plain user= password= host=h port=1 path= "
              "db=0 prefix=");
    test_good("redis://h:65535/0", "plain user= password= host=h port=65535 "
              "path= db=0 prefix=");
    test_good("rediss://h", "tls user= password= host=h port=6379 path= "
              "db=0 prefix=");
    test_good("redis://:secret@h", "plain user= password=secret host=h "
              "port=6379 path= db=0 prefix=");
    test_good("redis://u:secret@h:7/2", "plain user=u password=secret host=h "
              "port=7 path= db=2 prefix=");
    test_good("rediss://%75:a%40b%3a%2F%25@h", "tls user=u password=a@b:/% "
              "host=h port=6379 path= db=0 prefix=");
    test_good("redis://u:a:b@h", "plain user=u password=a:b host=h "
              "port=6379 path= db=0 prefix=");
    test_good("redis://h!/2147483647", "plain user= password= host=h! "
              "port=6379 path= db=2147483647 prefix=");
    test_good("redis://a:b@h", "plain user=a password=b host=h port=6379 "
              "path= db=0 prefix=");
    test_good("redis://a:%40:@h", "plain user=a password=@: host=h port=6379 "
              "path= db=0 prefix=");
    test_good("redis://user@h", "plain user=user password= host=h port=6379 "
              "path= db=0 prefix=");
    test_good("redis://user:@h", "plain user=user password= host=h port=6379 "
              "path= db=0 prefix=");
    test_good("redis://h?", "plain user= password= host=h port=6379 path= "
              "db=0 prefix=");
    test_good("redis://[::1]", "plain user= password= host=::1 port=6379 "
              "path= db=0 prefix=");
    test_good("redis://u:p@[2001:db8::5]:6390/4?prefix=x",
              "plain user=u password=p host=2001:db8::5 port=6390 path= db=4 "
              "prefix=x");
    test_good("redis://h?prefix=p", "plain user= password= host=h port=6379 "
              "path= db=0 prefix=p");
    test_good("redis://h/?prefix=%7bcred%7D", "plain user= password= host=h "
              "port=6379 path= db=0 prefix={cred}");
    test_good("redis://h/1?prefix=a%26b", "plain user= password= host=h "
              "port=6379 path= db=1 prefix=a&b");
    test_good("unix:/run/redis.sock", "plain user= password= host= port=0 "
              "path=/run/redis.sock db=0 prefix=");
    test_good("unix:/run/redis.sock?db=5", "plain user= password= host= "
              "port=0 path=/run/redis.sock db=5 prefix=");
    test_good("unix:/a%20b?prefix=%7Bx%7D&db=5", "plain user= password= "
              "host= port=0 path=/a b db=5 prefix={x}");
    test_good("unix:/a:b@c", "plain user= password= host= port=0 "
              "path=/a:b@c db=0 prefix=");

    test_bad("");
    test_bad("redis");
    test_bad("redis:");
    test_bad("redis:/h");
    test_bad("redis://");
    test_bad("rediss://");
    test_bad("redis:///0");
    test_bad("redis://:6379");
    test_bad("redis://?prefix=x");
    test_bad("http://h");
    test_bad("redis-sentinel://h");
    test_bad("h:6379");
    test_bad(" redis://h");
    test_bad("redis://h ");
    test_bad("redis://h h");
    test_bad("redis://h\n");
    test_bad("redis://h:");
    test_bad("redis://h:0");
    test_bad("redis://h:65536");
    test_bad("redis://h:-1");
    test_bad("redis://h:x");
    test_bad("redis://h:99999999999999999999");
    test_bad("redis://h:1:2");
    test_bad("redis://h/x");
    test_bad("redis://h/-1");
    test_bad("redis://h/0/1");
    test_bad("redis://h/99999999999999999999");
    test_bad("redis://@h");
    test_bad("redis://:@h");
    test_bad("redis://u:p@");
    test_bad("redis://[::1");
    test_bad("redis://[]");
    test_bad("redis://[::1]x");
    test_bad("redis://[::1]:");
    test_bad("redis://[::1]:x");
    test_bad("redis://[a\nb]");
    test_bad("redis://h\x7f");
    test_bad("redis://u%zz:p@h");
    test_bad("redis://u:p%zz@h");
    test_bad("redis://h?prefix=%zz");
    test_bad("redis://h/2147483648");
    test_bad("redis://h%");
    test_bad("redis://h%1");
    test_bad("redis://h%zz");
    test_bad("redis://h%00");
    test_bad("redis://:%00@h");
    test_bad("redis://h?prefix");
    test_bad("redis://h?prefix=");
    test_bad("redis://h?prefix=a&prefix=b");
    test_bad("redis://h?db=1");
    test_bad("redis://h?Prefix=a");
    test_bad("redis://h?timeout=1");
    test_bad("unix:");
    test_bad("unix:/");
    test_bad("unix:redis.sock");
    test_bad("unix:?db=1");
    test_bad("unix:/a?db=");
    test_bad("unix:/a?db=x");
    test_bad("unix:/a?db=1&db=2");
    test_bad("unix:/a?path=b");
    test_bad("unix:/a%00b");
}


static void
test_several(void)
{
    test_servers("redis-sentinel://a#m", "sentinel master=m user= password= "
                 "sentinel= db=0 prefix= a|26379");
    test_servers("rediss-sentinel://u:p@a,b:1,[::1]:2/3?prefix=x"
                 "&sentinel_password=%71#my%23name",
                 "tls sentinel master=my#name user=u password=p sentinel=q "
                 "db=3 prefix=x a|26379 b|1 ::1|2");
    test_servers("REDIS-SENTINEL://:p@a/#n", "sentinel master=n user= "
                 "password=p sentinel= db=0 prefix= a|26379");
    test_servers("redis-cluster://a", "cluster master= user= password= "
                 "sentinel= db=0 prefix= a|6379");
    test_servers("rediss-cluster://:p@a:1,b,10.0.0.1:3/0?prefix={x}",
                 "tls cluster master= user= password=p sentinel= db=0 "
                 "prefix={x} a|1 b|6379 10.0.0.1|3");
    test_servers("redis://a/1?prefix=%23", "server master= user= password= "
                 "sentinel= db=1 prefix=# a|6379");

    test_bad("redis-sentinel://a");
    test_bad("redis-sentinel://a#");
    test_bad("redis-sentinel://#m");
    test_bad("redis-sentinel://a,#m");
    test_bad("redis-sentinel://,a#m");
    test_bad("redis-sentinel://a,,b#m");
    test_bad("redis-sentinel://a:0#m");
    test_bad("redis-sentinel://a,b:x#m");
    test_bad("redis-sentinel://[::1,b#m");
    test_bad("redis-sentinel://a?sentinel_password=#m");
    test_bad("redis-sentinel://a?sentinel_password=x&sentinel_password=x#m");
    test_bad("redis-sentinel://a#m%00");
    test_bad("redis-sentinel://a#m m");
    test_bad("redis-sentinel:/a#m");
    test_bad("redis-cluster://");
    test_bad("redis-cluster://a,");
    test_bad("redis-cluster://a/1");
    test_bad("redis-cluster://a?sentinel_password=x");
    test_bad("redis://a,b");
    test_bad("rediss://a,b");
    test_bad("redis://a?sentinel_password=x");
    test_bad("redisx-cluster://a");
    test_bad("redis://a?prefix=#");
    test_bad("redis-sentinel://a#m?prefix=x");
}


static void
test_tagged(void)
{
    ngx_uint_t  i;

    static const char  *tagged[] = { "{a}", "x{a}y", "{{a}}", "{a}{}", "{{}" };
    static const char  *none[] = { "", "a", "{}", "{", "}", "}a{", "a{b",
                                   "{}{a}" };

    for (i = 0; i < sizeof(tagged) / sizeof(char *); i++) {
        unit_ok(ngx_cred_redis_tagged(unit_bytes(tagged[i],
                                                 ngx_strlen(tagged[i]))),
                "\"%s\" has a tag", tagged[i]);
    }

    for (i = 0; i < sizeof(none) / sizeof(char *); i++) {
        unit_ok(!ngx_cred_redis_tagged(unit_bytes(none[i],
                                                  ngx_strlen(none[i]))),
                "\"%s\" has none", none[i]);
    }
}


static void
test_lengths(void)
{
    char                  *err;
    size_t                 max;
    ngx_str_t             *text;
    ngx_cred_redis_url_t   url;

    max = sizeof(((struct sockaddr_un *) 0)->sun_path) - 1;

    text = unit_format("unix:/%V", unit_repeat('a', max - 1));
    unit_ok(ngx_cred_redis_url_parse(unit_pool, text, &url, &err) == NGX_OK
            && url.path.len == max,
            "the longest path of a unix socket");

    text = unit_format("unix:/%V", unit_repeat('a', max));
    unit_ok(ngx_cred_redis_url_parse(unit_pool, text, &url, &err) == NGX_ERROR,
            "a longer path of a unix socket");

    text = unit_format("redis://%V", unit_repeat('a', NGX_CRED_NET_HOST_LEN));
    unit_ok(ngx_cred_redis_url_parse(unit_pool, text, &url, &err) == NGX_OK
            && url.hosts[0].name.len == NGX_CRED_NET_HOST_LEN,
            "the longest host");

    text = unit_format("redis://%V",
                       unit_repeat('a', NGX_CRED_NET_HOST_LEN + 1));
    unit_ok(ngx_cred_redis_url_parse(unit_pool, text, &url, &err) == NGX_ERROR,
            "a longer host");

    text = unit_format("redis-cluster://a%V",
                       unit_repeat(',', NGX_CRED_REDIS_HOSTS));
    unit_ok(ngx_cred_redis_url_parse(unit_pool, text, &url, &err) == NGX_ERROR
            && ngx_strcmp(err, "too many hosts") == 0,
            "too many hosts");
}


static void
test_names(void)
{
    test_name("redis://h", "h:6379/0");
    test_name("redis://user:secret@h:1/2?prefix=x", "h:1/2");
    test_name("rediss://:secret@[::1]:1", "[::1]:1/0");
    test_name("unix:/s?db=3", "unix:/s?db=3");

    test_name("redis-sentinel://u:secret@a,[::1]:2/3?sentinel_password=s#m%0a",
              "a:26379,[::1]:2/3#m?");
    test_name("redis-cluster://:secret@a,b:2", "a:6379,b:2/0");

    test_name("redis://a%0d%0a2026%1b%7f%c3%a9", "a??2026??\xc3\xa9:6379/0");
    test_name("unix:/a%0ab", "unix:/a?b?db=0");
}


static void
test_printable(void)
{
    u_char     *p, buf[8];
    ngx_str_t   got, *name;

    name = unit_bytes("a\0\n\x1f\x7f~\xff bcd", 11);

    p = ngx_cred_net_printable(buf, buf + sizeof(buf), name);

    got.data = buf;
    got.len = p - buf;

    unit_is(&got, unit_bytes("a????~\xff ", 8), "printable, as far as it fits");

    got.len = ngx_cred_net_printable(buf, buf, name) - buf;

    unit_ok(got.len == 0, "printable: no room");
}


int
main(void)
{
    unit_start();

    test_urls();
    test_several();
    test_tagged();
    test_lengths();
    test_names();
    test_printable();

    return unit_done();
}
