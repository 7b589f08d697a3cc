package CredTest::Urls;

# URLs of Redis that are refused, by what is said of them, and such as are
# taken: by the configuration of nginx, and by the operator's command.

use strict;
use warnings;

use parent 'Exporter';

our @EXPORT = qw(%Refused @Taken);

our %Refused = (
    'neither "redis://", "redis-sentinel://", "redis-cluster://", '
        . 'these with "rediss"'
        => ['127.0.0.1', 'http://a', 'redis:', 'redis:/a', 'redi://a',
            'redis:a/0?prefix=x://', 'redis-sentinel:a#b://'],
    'no host' => ['redis://', 'redis:///1', 'redis://:6379', 'redis://:p@/1',
                  'redis://?prefix=a', 'redis://::1', 'redis-cluster://a,',
                  'redis-sentinel://,a#b', 'redis://[]', 'redis://[]:6379'],
    'more than one host' => ['redis://a,b'],
    'too many hosts' => ['redis-cluster://' . join ',', ('a') x 33],
    'too long host' => ['redis://' . 'a' x 256],
    'invalid host' => ['redis://unix%3A%2Ftmp', 'redis://127.0.0.1%3A1', 'redis://a]:7',
                       'redis://u[a]:7', 'redis://%5B::1]', 'redis://%5b%3a%3a1%5d',
                       'redis://[::1%2F]', 'redis://a%3Fb', 'redis://a%23b',
                       'redis-cluster://a,b%2Fc'],
    'invalid port' => ['redis://a:', 'redis://a:0', 'redis://a:65536',
                       'redis://a:x', 'redis://a:-1', 'redis://a:1:2',
                       'redis://[::1]:1]:2', 'redis://[::1]:'],
    'invalid database number' => ['redis://a/x', 'redis://a/-1', 'redis://a/1/2',
                                  'redis://a/2147483648', 'redis://a/99999999999',
                                  'unix:/a?db=', 'unix:/a?db=x', 'unix:/a?db=%31'],
    'a cluster has database 0 alone' => ['redis-cluster://a/1'],
    'unknown parameter' => ['redis://a?db=1', 'redis://a?x=y', 'unix:/a?x=y',
                            'redis://a?PREFIX=x', 'redis://a?sentinel_password=x',
                            'redis://a?x:prefix=y', 'unix:/a?x:prefix=y'],
    'parameter without a value' => ['redis://a?prefix', 'unix:/a?db',
                                    'redis://a?prefix=b&c'],
    'no "#NAME" of a master' => ['redis-sentinel://a', 'redis-sentinel://a#'],
    '"#" without "redis-sentinel://"'
        => ['redis://a#b', 'redis://a/0#b', 'redis://:p@a?prefix={c}#b',
            'redis-cluster://a,b#c'],
    '"?" after "#NAME"'
        => ['redis-sentinel://a#b?sentinel_password=c', 'redis-sentinel://a#?'],
    '"@" after "#NAME"' => ['redis-sentinel://user:12#34@a#b@c',
                            'redis-sentinel://user:12#34@a'],
    'duplicate parameter'
        => ['redis://a?prefix=b&prefix=c',
            'redis-sentinel://a?sentinel_password=b&sentinel_password=c#d'],
    'duplicate "db"' => ['unix:/a?db=1&db=2', 'unix:/a?db=0&db=0'],
    'empty parameter' => ['redis://a?prefix=', 'unix:/a?prefix='],
    'empty password' => ['redis://@a', 'redis://:@a'],
    'user without a password' => ['redis://secret@127.0.0.1'],
    'invalid percent-encoding' => ['redis://%', 'redis://%4', 'redis://%zz',
                                   'redis://:%x@a', 'unix:/%', 'unix:/a?prefix=%'],
    'zero byte' => ['redis://a%00b', 'unix:/a%00', 'redis://%00:%zz@a'],
    'white space or control character' => ['redis://a b', 'unix:/a b'],
    'invalid IPv6 address' => ['redis://[::1', 'redis://[::1]6379', 'redis://[]x',
                               'redis://[::1]x]:1', 'redis://[::1]x]'],
    'no absolute path of a unix socket' => ['unix:', 'unix:a', 'unix:/', 'unix:?'],
    'too long path of a unix socket' => ['unix:/' . 'x' x 200],
);

our @Taken = (
    'redis://127.0.0.1', 'redis://127.0.0.1/', 'redis://[::1]:1/15',
    'redis://localhost:7000', 'redis://:p@127.0.0.1', 'redis://u:p@127.0.0.1',
    'redis://:p#q@127.0.0.1', 'redis://u:%3A%40%2F@127.0.0.1/1?prefix=%7Bx%7D',
    'REDIS://127.0.0.1?', 'unix:/a', 'UNIX:/a?', 'unix:/a?db=1&prefix=x',
    'unix:/a?prefix=x&db=0', 'unix:/a?db=0000000001', 'redis://127.0.0.1:006379',
    'redis://127.0.0.1/2147483647',
);

1;
