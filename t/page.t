# The page of cred_status, in a real browser.

use lib 't/lib';
use CredTest::Browser;

BEGIN {
    require Test::More;

    Test::More::plan(skip_all => 'no chromium and chromedriver:'
                                 . ' util/install-deps browser')
        unless CredTest::Browser::programs();
}

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;
use JSON::PP ();

# names that would be more than names

sub markup { '<script>alert(1)</script><img src=x onerror=alert(2)>' }
sub turned { "\x{202e}txet\x{2066}" }
sub hebrew { "\x{5e9}\x{5dc}\x{5d5}\x{5dd}" }

my $browser = CredTest::Browser->start;

sub browser { $browser }

END { $browser->stop if $browser }

binmode $_, ':utf8' for map { Test::More->builder->$_ }
                             qw(output failure_output todo_output);

# timers that have not gone off

$browser->tools('Page.addScriptToEvaluateOnNewDocument', source => <<'END');
window.timers = new Set();
(function (set, clear) {
    window.setTimeout = function (f, ms) {
        const id = set(function () { window.timers.delete(id); f(); }, ms);
        window.timers.add(id);
        return id;
    };
    window.clearTimeout = function (id) {
        window.timers.delete(id);
        clear(id);
    };
})(window.setTimeout, window.clearTimeout);
END

my %sample = gateway(config => <<'END');
cred_retry_delay 100ms 300ms;
location = /status { cred_status html; }
location /canned/ {
    if ($arg_format) { rewrite ^/canned/(\w+) /json/$1.json last; }
    cred_status html;
}
location /json/ {
    root          $TEST_NGINX_DIR;
    types         { }
    default_type  application/json;
}
END

defaults(%sample);


sub url { "http://127.0.0.1:$ENV{TEST_NGINX_PORT}$_[0]" }

sub js { $browser->script(@_) }

sub said { js('return document.getElementById("sentence").textContent') }

# the text of the first one, or undef

sub seen_at {
    return js('const node = document.querySelector(arguments[0]);'
              . 'return node && node.innerText', $_[0]);
}

sub shows {
    my ($selector, $regex) = @_;
    return wait_for(sub { (seen_at($selector) // '') =~ $regex });
}

# waits until the page has asked; a fragment alone would load nothing

sub visit {
    my ($path, $width) = @_;

    $browser->size($width || 1280, 900);
    $browser->dark(0);
    $browser->go('about:blank');
    $browser->console;
    $browser->network;
    $browser->go(url($path));
    shows('#freshness', qr/^read /) or diag('no state: ' . said());
}

sub says {
    my ($regex, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { said() =~ $regex }), $name) or diag(said());
}

sub one_more_fails { is(del('none')->{status}, 503, 'no delete') }

# what a page may never have done

sub harmless {
    my ($name, $path) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is($browser->prompt, undef, "$name: nothing is executed");
    is_deeply([ $browser->console ], [], "$name: nothing in the console");
    is(js('return ["script", "style", "img", "iframe", "[style]", "[onerror]"]'
          . '.map(tag => document.querySelectorAll(tag).length).join()'),
       '1,1,0,0,0,0', "$name: nothing is injected");
    is(js('return document.documentElement.scrollWidth - innerWidth'), 0,
       "$name: as wide as the window");

    my ($requests) = $browser->network;
    my $home = url($path);

    is_deeply([ grep { !m{^(?:data:|about:|chrome:|\Q$home\E(?:[?#]|\z))} }
                map { $_->{url} } @$requests ], [],
              "$name: nothing is loaded from elsewhere");
    ok(@$requests > 1, "$name: requests were seen");
}

# the lowest contrast of any text that is seen, and where it is

sub contrast {
    return js(<<'END');
function parse(color) {
    return color.match(/[\d.]+/g).map(Number);
}
function light([r, g, b]) {
    const [x, y, z] = [r, g, b].map(c => c / 255).map(
        c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
}
function ground(node) {
    for (; node; node = node.parentElement) {
        const color = parse(getComputedStyle(node).backgroundColor);
        if (color.length === 3 || color[3] > 0) {
            return color;
        }
    }
    return [255, 255, 255];
}
let worst = [99, ''];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() === '' || !node.checkVisibility()
        || node.closest('script, style, noscript'))
    {
        continue;
    }
    const style = getComputedStyle(node);
    const text = light(parse(node.closest('svg') ? style.fill : style.color));
    const back = light(ground(node));
    const ratio = (Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05);
    if (ratio < worst[0]) {
        worst = [ratio, walker.currentNode.data.slice(0, 40)];
    }
}
return worst;
END
}

sub readable {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $scheme (qw(light dark)) {
        $browser->dark($scheme eq 'dark');
        my ($ratio, $text) = @{ contrast() };
        cmp_ok($ratio, '>=', 4.5, "$name: contrast, $scheme")
            or diag("of \"$text\"");
    }

    $browser->dark(0);
}

# a state that no nginx is in, for the page that every nginx has

sub canned {
    my ($name, $state) = @_;

    mkdir temp_dir() . '/json';
    open my $out, '>:raw', temp_dir() . "/json/$name.json" or die "$name: $!";
    print $out ref $state ? JSON::PP->new->ascii->encode($state) : $state;
    close $out;
}

sub environment {
    my ($name, %args) = @_;

    return { name => $name, registered => JSON::PP::true, state => 'up',
             since => time - 3600, retry_at => undef, error => undef,
             pending => 0, oldest => undef, undeployments => {},
             undeployment_duration => undef, effect_duration => undef,
             gateways => [], %args };
}

sub state {
    my ($environments, %args) = @_;

    return { version => '1', nginx => '1', host => 'gw1', now => time,
             started => time - 90000, workers => 2,
             registry => { name => '127.0.0.1:6379/0', state => 'up',
                           since => time - 90000, error => undef },
             environments => $environments, deletes => {}, access => {},
             cache => {}, zones => [], operations => [], %args };
}

# it is gone, and a delete is pending there

sub fallen {
    my ($name, $id) = @_;

    $id //= 'fallen';
    redis_stop($name);
    credential([$id], grep { $_ ne $name } qw(registry production staging));

    return del($id);
}

run_tests();


__DATA__

=== TEST 1: all is well
--- script
ok(reached(), 'a delete');
visit('/status');
says(qr/^Both environments are up, nothing is pending\.$/, 'the sentence');
is(js('return document.title') =~ s/ \x{2013} .*//r,
   "\x{2713} Both environments are up, nothing is pending", 'the title');
is(js('const node = document.getElementById("sentence");'
      . 'return node.role + node.ariaLive'), 'statuspolite', 'is read aloud');
is(js('return [...document.querySelectorAll(".card h3")].map('
      . 'node => node.textContent).join()'), 'production,staging',
   'a card each');
like(seen_at('.card'), qr/^production\s+up since \d+:\d+\s+pending\s+0\s/,
     'of an environment');
like(seen_at('.card'), qr/\d undeployed\n/, 'its undeployments');
like(js('return document.querySelector(".card [role=img]").ariaLabel'),
     qr/^Time to effect of \d+ undeployments?: half within \d+(?:\.\d)? m?s, /,
     'a picture in words');
like(seen_at('#operations'), qr/deleted\s+apinizer\s+MyProject\s+n\d/,
     'operations');
like(seen_at('#deletes'), qr/apinizer\s+\d/, 'deletes');
like(seen_at('header'), qr/registry .* is up since/, 'the registry');
like(seen_at('#access'), qr/lease of .*\n[\d.]+ m?s left/, 'a lease');
readable('well');
harmless('well', '/status');



=== TEST 2: the policy
--- script
visit('/status');
my (undef, $answers) = browser->network;
my ($page) = grep { $_->{url} eq url('/status') } @$answers;
my ($json) = grep { $_->{url} =~ /format=json/ } @$answers;
my $hash = qr{'sha256-[0-9A-Za-z+/]{43}='};

like($page->{headers}{'content-security-policy'},
     qr/^default-src\ 'none';\ style-src\ $hash;\ script-src\ $hash;
        \ img-src\ data:;\ connect-src\ 'self';\ base-uri\ 'none';
        \ form-action\ 'none';\ frame-ancestors\ 'none'$/x, 'strict');
is($page->{headers}{'cache-control'}, 'no-store', 'the page is not kept');
is($json->{headers}{'cache-control'}, 'no-store', 'nor is the state');
is($page->{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
is($page->{headers}{'referrer-policy'}, 'no-referrer', 'no-referrer');
is_deeply([ browser->console ], [], 'it breaks it nowhere');

js('const node = document.createElement("script");'
   . 'node.textContent = "window.hit = 1"; document.body.append(node);'
   . 'document.body.setAttribute("style", "color: red");');
is(js('return window.hit'), undef, 'no script runs but its own');
isnt(js('return getComputedStyle(document.body).color'), 'rgb(255, 0, 0)',
     'no style counts but its own');
ok((grep { /Content.Security.Policy/ } browser->console), 'as it is told');



=== TEST 3: an environment is down
--- script
ok(reached(), 'all is up');
fallen('staging');
fallen('staging', 'another');
visit('/status');
says(qr/^staging\ is\ down\ since\ \d+:\d+,\ 2\ undeployments\ are\ pending,
        \ the\ oldest\ for\ [\w ]+\.$/x, 'the sentence');
like(js('return document.title'), qr/^\x{2715} staging is down since /,
     'the title');
is(js('return document.querySelector(".card h3").textContent'), 'staging',
   'what is wrong comes first');
like(seen_at('.card .state'), qr/^down since \d+:\d+, (?:backing|being tried)/,
     'its state');
ok(shows('.card .error', qr/^Last error [\d:]+: .*(?:connect|No such file)/),
   'its error');
like(seen_at('.card .results'), qr/\d unreachable/, 'its undeployments');
readable('down');
harmless('down', '/status');

js('document.querySelector(".card .figures a").click()');
ok(shows('#detail', qr/^Pending in staging\s.*apinizer\s+MyProject\s+fallen/s),
   'what is pending there');
is(js('return location.hash'), '#environment=staging', 'has a fragment');
is(js('return document.activeElement.id'), 'detail-title', 'and the focus');

redis_start('staging');
says(qr/^Both environments are up, nothing is pending\.$/, 'it is back');
ok(shows('#detail', qr/Nothing is pending here/), 'there, too');



=== TEST 4: one operation
--- script
ok(reached(), 'all is up');
my $id = operation(fallen('staging', 'last'));
visit("/status#operation=$id");
ok(shows('#detail', qr/^Operation $id/), 'it is shown');
ok(shows('.timeline li:nth-child(3)', qr/^staging\s+pending, .*\d attempt/),
   'what is pending there');
like(seen_at('.timeline li:nth-child(1)'),
     qr/^accepted\s+\d+:\d+:\d+, by alice from 127\.0\.0\.1/, 'accepted');
like(seen_at('.timeline li:nth-child(2)'),
     qr/^production\s+undeployed, [\d:]+ \(\+[\d.]+ m?s\), 1 attempt/,
     'undeployed');
ok(shows('.timeline .error', qr/\w/), 'why it is pending');
harmless('operation', '/status');

redis_start('staging');
ok(shows('.timeline', qr/staging\s+was not deployed, /), 'done');
ok(shows('#detail', qr/done everywhere/), 'in all of them');

js('document.querySelector("#detail .facts a").click()');
ok(shows('#detail', qr/^Credential\ apinizer:MyProject:last\s.*No\ operation
                       .*deleted/xs), 'its credential');
js('document.querySelector("#detail h2 a").click()');
ok(wait_for(sub { js('return document.getElementById("detail").hidden') }),
   'closed');

visit('/status#operation=' . 'f' x 32);
ok(shows('#detail', qr/Nothing to show: no such operation\./i), 'none such');



=== TEST 5: the search
--- script
ok(reached(), 'a delete');
my $id = (audit())[-1]{operation};
visit('/status');

my %found = ($id => qr/^Operation $id/, uc " $id " => qr/^Operation $id/,
             'apinizer:MyProject:api-user' => qr/^Credential apinizer:MyP/,
             'apinizer:a:b:c/d&e#f' => qr{^Credential apinizer:a:b:c/d&e#f},
             staging => qr/^Pending in staging/);

for my $query (sort keys %found) {
    js('document.getElementById("query").value = "";'
       . 'document.getElementById("query").focus()');
    browser->type("$query\x{e007}");
    ok(shows('#detail', $found{$query}), "\"$query\"");
    is(seen_at('#complaint') // '', '', 'is understood');
    ok(shows('#detail-body', qr/\A(?!Reading)./), 'and answered');
}

js('document.getElementById("query").value = "x y"');
browser->click('form button');
like(seen_at('#complaint'), qr/^This is no operation/, 'nonsense');
harmless('search', '/status');



=== TEST 6: the keyboard
--- script
ok(reached(), 'a delete');
fallen('staging');
visit('/status');
my $controls = 'a[href], button, input, summary';
my $total = js('document.activeElement.blur(); window.controls ='
               . ' [...document.querySelectorAll(arguments[0])]'
               . '.filter(node => node.checkVisibility());'
               . 'return controls.length', $controls);
cmp_ok($total, '>', 8, 'there are controls');

my %reached;

for (1 .. $total + 2) {
    browser->type("\x{e004}");
    my $at = js('return controls.indexOf(document.activeElement)');
    $reached{$at} = 1 if $at >= 0;
    next if $at < 0;
    my $outline = js('const is = getComputedStyle(document.activeElement);'
                     . 'return is.outlineStyle + " " + is.outlineWidth');
    is($outline, 'solid 2px', "the focus is seen at $at");
}

is(scalar(keys %reached), $total, 'all are reached, and there is no trap');
is(js('return [...document.querySelectorAll("th:not([scope])")].length'), 0,
   'headers of tables say of what');
is(js('return ["header", "main", "footer", "search", "h1"].map(tag =>'
      . ' document.querySelectorAll(tag).length).join()'), '1,1,1,1,1',
   'landmarks');

js('document.querySelector("#operations a").focus()');
my $link = js('return document.activeElement.href');
my $read = js('return performance.getEntriesByType("resource").length');
ok(wait_for(sub { js('return performance.getEntriesByType("resource").length')
                  > $read + 1 }), 'it is read again');
is(js('return document.activeElement.href'), $link, 'the focus stays');
browser->type("\x{e007}");
ok(shows('#detail', qr/^Operation/), 'a link is followed');
js('document.querySelector("#detail h2 a").focus()');
browser->type("\x{e007}");
ok(wait_for(sub { js('return document.activeElement.href') eq $link }),
   'the focus goes back');



=== TEST 7: a phone, and the dark
--- script
ok(reached(), 'a delete');
fallen('staging');
visit('/status', 360);
says(qr/^staging is down/, 'the sentence');
harmless('phone', '/status');
cmp_ok(js('return document.getElementById("sentence")'
          . '.getBoundingClientRect().bottom'), '<', 640, 'without scrolling');

for my $dark (0, 1) {
    browser->dark($dark);
    my ($back, $front) = map {
        my ($r, $g, $b) = js("return getComputedStyle(document.body).$_")
                          =~ /\d+/g;
        $r + $g + $b;
    } qw(backgroundColor color);
    ok($dark ? $back < 120 && $front > 600 : $back > 650 && $front < 150,
       $dark ? 'dark' : 'light') or diag("$back, $front");
}



=== TEST 8: names that would be more than names
--- script
for my $name (markup, turned, hebrew, '', 'e' x 500, "a\x01b\x9fc", '%2F&#=')
{
    utf8::encode(my $bytes = $name);
    redis('registry', 'HSET', '{cred}:environments', $bytes,
          redis_url('production'));
}
ok(reached() || 1, 'a delete');
visit('/status');
ok(wait_for(sub {
    js('return document.querySelectorAll(".card").length') >= 8;
}), 'all are shown');
my $shown = markup;
my $other = hebrew;
my $names = js('return [...document.querySelectorAll(".card h3")].map('
               . 'node => node.textContent).join("\n")');
like($names, qr/^\Q$shown\E$/m, 'HTML');
like($names, qr/^\\u202etxet\\u2066$/m, 'turned around');
like($names, qr/^$other$/m, 'from the right to the left');
like($names, qr/^e+\x{2026}e+$/m, 'long');
like($names, qr/^%2F&#=$/m, 'of a URL');
harmless('names', '/status');

js('document.getElementById("query").value = arguments[0]', markup);
browser->click('form button');
ok(shows('#detail', qr/^Pending in \Q$shown\E/), 'its pending ones');
ok(shows('#detail-body', qr/\A(?!Reading)./), 'are read');
browser->size(360, 780);
js('location.hash = "#environment=" + "e".repeat(500)');
ok(shows('#detail', qr/^Pending in e{500}/), 'those of the long one');
ok(shows('#detail-body', qr/\A(?!Reading)./), 'are read');
harmless('names on a phone', '/status');



=== TEST 9: whatever the state is
--- script
my $script = markup;
my @odd = (undef, 7, 'x', [], {}, { name => undef }, { name => {} },
           { name => 'a', state => 7, gateways => {}, effect_duration => [] },
           { name => 'a', effect_duration => { le => [1, 'x'], counts => [] },
             gateways => [undef, {}, { name => 5, lag => 'x' }],
             undeployments => [1], error => 'x', since => 1e300,
             pending => -1, oldest => 'x' },
           environment('constructor', undeployments => { __proto__ => 1 }),
           environment("half \x{d83d}"));
my %states = (
    empty   => '{}',
    list    => '[]',
    null    => 'null',
    none    => state([]),
    nowhere => state([], registry => undef),
    odd     => state(\@odd, operations => \@odd, deletes => { a => undef },
                     zones => \@odd, leases => \@odd, access => [1],
                     cache => 'x', now => 'x', registry => { error => {} }),
    nulls   => { map { $_ => undef } keys %{ state([]) } },
    script  => state([ environment($script, state => 'down', pending => 3,
                                   oldest => 100,
                                   error => { message => $script, time => 1 },
                                   gateways => [{ name => $script }]) ],
                     host => $script, version => $script, nginx => $script,
                     registry => { name => $script, state => 'down',
                                   error => $script },
                     deletes => { $script => { $script => 2 } },
                     access => { $script => 1 }, zones => [{ name => $script }],
                     operations => [ { map { $_ => $script }
                                       qw(operation api scope id subject client
                                          result time) } ]),
    many    => state([ map {
                   environment("e$_", $_ == 150 ? (state => 'down') : ())
               } 1 .. 200 ]),
);

for my $name (sort keys %states) {
    canned($name, $states{$name});
    visit("/canned/$name", 360);
    harmless($name, "/canned/$name");
    like(said(), qr/^[^ ].*[^ ]\.$/, "$name: a sentence");
    unlike(seen_at('body'), qr/undefined|NaN|\[object|Infinity/,
           "$name: makes sense");
}

visit('/canned/none');
says(qr/^No environment is registered\.$/, 'none');
visit('/canned/nowhere');
says(qr/^No registry is configured here\.$/, 'no registry');
visit('/canned/script');
readable('script');
visit('/canned/many');
says(qr/^e150 is down since/, 'one of 200');
is(js('return document.querySelector(".card h3").textContent'), 'e150',
   'and comes first');



=== TEST 10: what it says
--- script
my $now = time;
my $lacking = [{ name => 'g1', leased => JSON::PP::false, lag => undef },
               { name => 'g2', leased => JSON::PP::true, lease => 10, lag => 0,
                 called => $now }];
my %down = (state => 'down', since => $now);
my @cases = (
    ['a is up, nothing is pending', environment('a')],
    ['All 3 environments are up, nothing is pending',
     map { environment($_) } qw(a b c)],
    ['All 3 environments are up, 203 others are not shown, nothing is pending',
     (map { environment($_) } qw(a b c)), more_environments => 203],
    ['2 of 3 environments are up, 1 has not been tried yet, nothing is pending',
     environment('a'), environment('b'), environment('c', state => 'unknown')],
    ['Neither environment has been tried yet, nothing is pending',
     map { environment($_, state => 'unknown') } qw(a b)],
    ['a and b are down, nothing is pending',
     map { environment($_, %down) } qw(a b)],
    ['5 of 6 environments are down: a, b and 3 more, nothing is pending',
     environment('f'), map { environment($_, %down) } qw(a b c d e)],
    ['Both environments are up, 14 undeployments are pending in b, the oldest'
     . ' for 6 min', environment('a'),
     environment('b', pending => 14, oldest => 384)],
    ['a is up, 1 undeployment is pending in a, the oldest for a few seconds',
     environment('a', pending => 1, oldest => 2)],
    ['a is up, 1 undeployment is pending in gone, the oldest for 2 h',
     environment('a'),
     environment('gone', registered => JSON::PP::false, state => 'unknown',
                 pending => 1, oldest => 7201)],
    ['a is up, 1 gateway has no lease in a, nothing is pending',
     environment('a', gateways => $lacking)],
    ['a is up, as a gateway, this nginx has no lease, nothing is pending',
     environment('a'), leases => [{ environment => 'a', left => 0 }]],
    ['a is up, what is pending is not known', environment('a',
                                                          pending => undef)],
);

for my $case (@cases) {
    my ($said, @environments) = @$case;
    my @more = ref $environments[-2] || @environments < 2
               ? () : splice @environments, -2;
    canned('said', state(\@environments, @more));
    visit('/canned/said');
    is(said(), "$said.", $said);
}

my %kinds = map { $_ => 1 } map {
    canned('shape', state([ $_ ]));
    visit('/canned/shape');
    js('return document.querySelector(".card h3 svg").innerHTML');
} environment('up'), environment('down', %down),
  environment('waiting', %down, retry_at => $now + 3000),
  environment('unknown', state => 'unknown'),
  environment('gone', registered => JSON::PP::false);
is(scalar(keys %kinds), 5, 'each state has another shape');

canned('quantiles', state([ environment('a', effect_duration => {
    le => [0.001, 0.01, 0.1, 1], counts => [0, 98, 0, 1, 1] }) ]));
visit('/canned/quantiles');
like(seen_at('.figures'), qr/p50\n.*\n5\.6 ms\np99\n.*\n1 s/, 'quantiles');



=== TEST 11: nginx does not answer
--- script
visit('/status');
nginx_signal('STOP');
kill 'STOP', nginx_workers();
says(qr/^This nginx cannot be asked any more; before that: Both environments/,
     'the sentence');
ok(shows('#freshness', qr/^no answer in 8 s; what is shown is \d+ s old$/),
   'how old it is');
like(js('return document.title'), qr/^\x{2715} This nginx cannot/, 'the title');
readable('old');
nginx_signal('CONT');
kill 'CONT', nginx_workers();
says(qr/^Both environments/, 'it answers again');
ok(shows('#freshness', qr/^read /), 'as it says');



=== TEST 12: the registry is down
--- script
ok(reached(), 'a delete');
redis_stop('registry');
one_more_fails();
visit('/status');
says(qr/^The registry is down since \d+:\d+ and nothing can be deleted,/,
     'the sentence');
says(qr/, what is pending is not known\.$/, 'nor is what is pending');
like(js('return document.title'), qr/^\x{2715} The registry is down/,
     'the title');
like(seen_at('header'), qr/registry .* is down since \d+:\d+: \w/, 'why');
like(seen_at('#operations'), qr/Not known while/, 'no operations');
is(seen_at('.figures dd'), 'unknown', 'nor what is pending there');
harmless('registry', '/status');
redis_start('registry');
says(qr/^(?!The registry is down)/, 'it is back');

# it answers, and callers get 503

redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 1);
is(del('api-user')->{status}, 503, 'it refuses to write');
says(qr/^The registry refused a delete at \d+:\d+: NOREPLICAS/, 'which is said');
redis('registry', 'CONFIG', 'SET', 'min-replicas-to-write', 0);
redis('registry', 'DEL', '{cred}:environments');
redis('registry', 'SET', '{cred}:environments', 'x');
ok(shows('header', qr/registry .* is up.*: WRONGTYPE/s), 'why it says nothing');
redis('registry', 'DEL', '{cred}:environments');



=== TEST 13: nobody looks
--- script
visit('/status');
ok(wait_for(sub { js('return window.timers.size') == 1 }), 'it waits');
js('Object.defineProperty(document, "hidden", { configurable: true,'
   . ' get: () => window.away }); window.away = true;'
   . 'document.dispatchEvent(new Event("visibilitychange"))');
ok(wait_for(sub { js('return window.timers.size') == 0 }), 'it rests');
my $read = js('return performance.getEntriesByType("resource").length');
js('window.away = false;'
   . 'document.dispatchEvent(new Event("visibilitychange"))');
ok(wait_for(sub { js('return performance.getEntriesByType("resource").length')
                  > $read }), 'it asks again at once');
is_deeply([ browser->console ], [], 'nothing in the console');
