# The pages say what there is, and nothing that is not: directives, variables,
# metrics, keys in Redis, headers, subcommands of cred, alerts; their links lead
# somewhere, and each example is linked.

use Encode qw(decode_utf8);

use CredTest;
use CredTest::Delete;
use CredTest::Gateway;

my %sample = gateway(access => 'cred_access apinizer;');

$sample{config} .= ' location = /metrics { cred_status prometheus; }';

defaults(%sample);


my @pages = grep { !m{^build/} } glob '*.md doc/*.md bench/*.md';
my %text = map { $_ => slurp($_) } @pages;
my $all = join "\n", map { $text{$_} } sort keys %text;


# each of both lists is the other one

sub same {
    my ($name, $there, $told) = @_;
    my (%there, %told);

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $there{$_} = 1 for @$there;
    $told{$_} = 1 for @$told;

    cmp_ok(scalar(keys %there), '>', 0, "$name: there are some");
    is(join("\n", grep { !$told{$_} } sort keys %there), '', "$name: all are told of");
    is(join("\n", grep { !$there{$_} } sort keys %told), '', "$name: and no others");
}

sub sources { join "\n", map { slurp($_) } 'ngx_cred_module.c', glob 'src/*/*.c' }

sub unique { my %seen; grep { !$seen{$_}++ } @_ }

# the rows of all tables of a page: lists of cells

sub rows {
    return map { [ map { s/^\s+|\s+$//gr } split /(?<!\\)\|/, s/^\|//r ] }
           grep { !/^\|[-| ]+$/ } $_[0] =~ /^(\|.*)$/mg;
}

# what is in `quotes`

sub quoted { $_[0] =~ /`([^`]+)`/g }

sub section {
    my ($page, $title) = @_;
    my ($level, $text) = $text{$page} =~ /^(#+) \Q$title\E\n(.*)/ms or die "$page: $title";
    return $text =~ s/^#{1,@{[ length $level ]}} .*//msr;
}


# Directives: names, and where they may be, of the tables of commands

my %contexts = (MAIN => 'http', SRV => 'server', LOC => 'location');

sub directives {
    my %found;

    for my $table (sources() =~ /^static ngx_command_t .*?= \{\n(.*?)ngx_null_command/msg) {
        while ($table =~ /\{ ngx_string\("(\w+)"\),\s*([^,]*),/g) {
            my ($name, $flags) = ($1, $2);
            next unless $flags =~ /HTTP_/;
            $found{$name} = join ', ', map { $flags =~ /HTTP_${_}_CONF/ ? $contexts{$_} : () }
                                       qw(MAIN SRV LOC);
        }
    }

    return \%found;
}

sub described {
    my ($page) = @_;
    my %found;

    for my $part (split /^(?=### )/m, $text{$page}) {
        my ($name, $syntax, $default, $context) = $part =~ /^\#\#\#\ (\w+)\n
            \n\ {4}Syntax:\ {3}(\w+)\b[^\n]*\n(?:\ {12}[^\n]*\n)*
            \ {4}Default:\ {2}(—|\w+[^\n]*;)\n\ {4}Context:\ {2}([a-z,\ ]+)\n\n\S/xms or next;

        is($syntax, $name, "$name: its syntax");
        like($default, qr/^(?:—|\Q$name\E .*;)$/, "$name: its default");
        $found{$name} = $context;
    }

    return \%found;
}

my ($there, $told) = (directives(), described('doc/directives.md'));

same('directives', [keys %$there], [keys %$told]);
same('headings of directives', [keys %$there], [ $text{'doc/directives.md'} =~ /^### (\w+)$/mg ]);
same('the list of directives', [keys %$there],
     [ $text{'doc/directives.md'} =~ /^(.*?)^## /ms ? $1 =~ /\[(cred_\w+)\]\(#\g1\)/g : () ]);
is($told->{$_}, $there->{$_}, "$_: its context") for grep { $told->{$_} } sort keys %$there;


# Settings of a connector: its own commands, and those that presets make, too

sub settings {
    my $own = slurp('src/http/ngx_cred_connector_lines.c');
    my $all = slurp('src/core/ngx_cred_connector_settings.c');

    return unique('cred_ssl_...', $own =~ /\{ ngx_string\("(\w+)"\),\s*NGX_CONF_/g,
                  $all =~ /\{ ngx_string\("(\w+)"\)/g);
}

my $connector = section('doc/directives.md', 'cred_connector');

same('settings of a connector', [ grep { $_ ne 'include' } settings() ],
     [ map { $_->[0] =~ /^`(\S+?)[ `]/ ? $1 : () }
       grep { @$_ > 2 && $_->[1] ne '' } rows($connector) ]);

my ($places) = slurp('src/core/ngx_cred_connector_template.c')
               =~ /^ngx_str_t\s+\w+_places\[\] = \{\n(.*?)^\}/ms;

same('placeholders', [ map { "{$_}" } ($places // '') =~ /ngx_string\("(\w+)"\)/g ],
     [ map { quoted($_->[0]) } grep { @$_ == 2 && $_->[0] =~ /^`\{/ } rows($connector) ]);


# Variables

my @variables = map { /\{ ngx_string\("(\w+)"\)/g }
                sources() =~ /^static ngx_http_variable_t .*?= \{\n(.*?)ngx_http_null_variable/msg;

same('variables', \@variables,
     [ map { /^\$(\w+)$/ ? $1 : () } map { quoted($_->[0]) }
       grep { @$_ > 1 && $_->[1] ne '' } rows($text{'doc/variables.md'}) ]);

my @results = slurp('src/core/ngx_cred_registry.c')
              =~ /ngx_cred_result_names\[\] = \{(.*?)\}/s ? $1 =~ /ngx_string\("(\w+)"\)/g : ();

same('$cred_result', \@results,
     [ map { $_->[0] =~ /^`(\w+)`$/ ? $1 : () } rows(section('doc/variables.md', 'Of a delete')) ]);


# Headers of the module's own

same('headers', [ unique(sources() =~ /ngx_string\("(Cred-[\w-]+)"\)/g) ],
     [ map { grep { /^Cred-/ } quoted($_->[0]) }
       rows(section('doc/requests.md', 'What an answer says')) ]);


# Keys in Redis, as scripts and sources write them

sub keys_there {
    my %found;

    for my $file (glob('src/lua/*.lua'), glob('src/{core,http,redis}/*.c')) {
        my $text = slurp($file) =~ s/^\s*--.*//gmr;
        my $P = qr/(?:\bP|this\.P|ARGV\[1\])/;
        my $own = qr/(?:\bown|this\.own|$P \.\. ':' \.\. api)/;

        if ($file =~ /lua$/) {
            $found{"P:$1"} = 1 while $text =~ /$P \.\. ':([a-z]+):?'/g;
            $found{"P:API:$1"} = 1 while $text =~ /$own \.\. ':([a-z]+):?'/g;
            $found{"P:audit:$1"} = 1 while $text =~ /KEYS\[1\] \.\. ':([a-z]+)'/g;
            next;
        }

        $found{"P:$1"} = 1 while $text =~ /sizeof\(":([a-z]+):?"\)/g;
        $found{"P:$1"} = 1 while $text =~ /"%V:([a-z]+)"/g;
        $found{"P:$1"} = 1 while $text =~ /prefix,\s+":([a-z]+)"/g;
    }

    return keys %found;
}

# known by name: what follows is capitals

sub plain { $_[0] =~ s/(?::[A-Z0-9]+)+$//r }

my $registry = $text{'doc/registry.md'};
my @keys = map { plain($_) } map { grep { /^P:/ } quoted($_->[0]) } rows($registry);

push @keys, map { plain($_) } $registry =~ /`(P:(?:slot|none))`/g;

same('keys', [ keys_there() ], \@keys);

# fields of operations, and of the audit

my $scripts = join "\n", map { slurp($_) } glob 'src/lua/*.lua';
my ($fields) = section('doc/registry.md', 'Keys of the registry') =~ /^(Fields of .*)/ms;

for my $field (map { quoted($_->[0]) } rows($fields),
               rows(section('doc/registry.md', 'The audit') =~ s/\n\n\| `result` .*//sr))
{
    my $word = $field =~ s/:NAME$/:/r;
    like($scripts, qr/'\Q$word\E'/, "a field: $field");
}


# The command

my @commands = map { /^  ([a-z]+(?: [a-z]+)?)/ ? $1 : () } `sh util/cred help`;

same('cred in operate.md', \@commands,
     [ map { /^cred ([a-z ]+)$/ ? $1 : () } map { quoted($_->[0]) }
       rows(section('doc/operate.md', 'The command cred')) ]);

my $manual = slurp('doc/cred.1');
my ($synopsis) = $manual =~ /^\.Sh SYNOPSIS\n(.*?)^\.Sh /ms;

same('cred in cred.1', \@commands,
     [ grep { !/^(?:manage|view)$/ } $synopsis =~ /^\.Cm ([a-z]+(?: [a-z]+)?)$/mg ]);

while ($all =~ /(?:^ *|`|\$\(|\| )cred(?: -\S+(?: \S*[\/.]\S*)?)* ([a-z]+)( [a-z]+)?/mg) {
    my ($first, $both) = ($1, $1 . ($2 // ''));
    ok((grep { $_ eq $first || $_ eq $both } @commands), "cred $both");
}


# ACL lines of the walk are those of security.md, and of the manual

my @acl = map { join ' ', sort /\+(\S+)/g } $text{'doc/security.md'} =~ /^ {4}(ACL SETUSER .*?)\n\n/msg;
my $operator = join ' ', sort $manual =~ /^ACL SETUSER operator on >SECRET (.*?)\n\.Ed/ms
               ? $1 =~ /\+(\S+)/g : ();
my %walk;

for (split /^ {4}(?=user |END)/m, $text{'doc/operate.md'}) {
    my ($who, $rights) = m{^user \w+ on >\$\(cat \S+/(\w+)\.password\)(.*)}s or next;
    $walk{$who} = join ' ', sort $rights =~ /\+(\S+)/g;
}

is_deeply([ @walk{qw(registry environment gateway operator)} ], [@acl, $operator],
          'the rights of users in operate.md');


# Alerts

my $rules = slurp('conf-examples/prometheus/alerts.yml');

same('alerts', [ $rules =~ /- alert: (\w+)/g ],
     [ map { quoted($_->[0]) } rows(section('doc/operate.md', 'Alerts')) ]);


# Lines: tables, and what is copied from elsewhere, may be longer

for my $page (grep { !/^bench/ } sort keys %text) {
    my $prose = decode_utf8($text{$page}) =~ s/^(?:```.*?^```| {4}.*?$|\|.*?$)//gmsr;
    is(join("\n", grep { length > 80 } split /\n/, $prose), '', "$page: 80 columns");
}


# Links and anchors

sub slug {
    my ($title) = @_;
    $title =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
    return lc($title) =~ s/[^\w\- ]//gr =~ tr/ /-/r;
}

sub anchors {
    my ($page) = @_;
    my $text = slurp($page) =~ s/^```.*?^```//gmsr;
    my %seen;
    return { map { my $n = $seen{$_}++; $n ? "$_-$n" : $_ => 1 }
             map { slug($_) } $text =~ /^#+ (.*)$/mg };
}

my %linked;

sub leads {
    my ($from, $link) = @_;
    my ($path, $anchor) = split /#/, $link, 2;
    my ($dir) = $from =~ m{^(.*/)?[^/]*$};

    my $to = $path eq '' ? $from : ($dir // '') . $path;
    1 while $to =~ s{(?:^|(?<=/))(?!\.\./)[^/]+/\.\./}{};

    $linked{$to} = 1;

    return -e $to && (!defined $anchor || anchors($to)->{$anchor});
}

for my $page (sort keys %text) {
    my $prose = $text{$page} =~ s/^(?:```.*?^```| {4}.*?$)//gmsr;

    for my $link ($prose =~ /\]\(([^)\s]+)\)/g) {
        next if $link =~ /^https?:/;
        ok(leads($page, $link), "$page: $link");
    }
}

ok(leads('README.md', $_), "alerts.yml: $_") for unique($rules =~ /runbook: (\S+)/g);

ok($linked{$_}, "$_ is linked") for grep { -f } glob 'conf-examples/* conf-examples/*/* doc/*.md doc/images/*';


# What pages mention: variables have a "$", and all others are directives or
# metrics

sub mentions {
    my %known = ('' => { map { $_ => 1 } keys %$there, @_ },
                 '$' => { map { $_ => 1 } @variables });
    my $words = join "\n", map { $text{$_} } grep { !/^bench/ } sort keys %text;

    while ($words =~ /(?<![\w\/-])(\$?)(cred_[a-z]\w*[a-z0-9])\b(?!\.[a-z])/g) {
        my ($sign, $name) = ($1, $2);
        next if $known{$sign}{$name}++ || $name eq 'cred_ssl';
        fail("$sign$name is there");
    }
}

run_tests();


__DATA__

=== TEST 1: metrics
--- script
ok(wait_for(sub {
    my $text = call('GET', '/metrics')->{body};
    return $text =~ /^cred_lease_seconds\{/m && $text =~ /^cred_gateways\{/m
           && $text =~ /^cred_environment_up\{environment="production"\} 1$/m;
}), 'all of them');

my $text = call('GET', '/metrics')->{body};
my (%there, %values);

my %histogram = map { $_ => 1 } $text =~ /^# TYPE (\S+) histogram$/mg;

while ($text =~ /^(\w+)(?:\{(.*)\})? \S+$/mg) {
    my ($name, $labels) = ($1, $2 // '');
    my $base = $name =~ s/_(?:bucket|sum|count)$//r;
    $name = $base if $histogram{$base};

    while ($labels =~ /(\w+)="((?:[^"\\]|\\.)*)"/g) {
        $there{$name}{$1} = 1;
        $values{"$name $1 $2"} = 1 if $1 eq 'result' || $1 eq 'state';
    }

    $there{$name} ||= {};
}

my $page = section('doc/operate.md', 'Metrics');
my @rows = rows($page);
my %told = map { $_->[0] =~ /^`(cred_\w+)`$/ ? ($1, join ' ', sort(quoted($_->[1]))) : () } @rows;

same('metrics', [keys %there], [keys %told]);
is($told{$_}, join(' ', sort keys %{ $there{$_} }), "$_: labels") for grep { defined $told{$_} } sort keys %there;

my @words = map { quoted($_) } $page, section('doc/variables.md', 'Of a delete');
same('results of undeployments',
     [ map { /^cred_undeployments_total result (\w+)/ ? $1 : () } keys %values ],
     [ map { quoted($_->[0]) } rows($page =~ s/.*^(?=\| `result` of )[^\n]*\n//msr) ]);

for (sort keys %values) {
    my ($name, $label, $value) = split / /;
    ok((grep { $_ eq $value } @words), "$name: $label $value is told of");
}

mentions(keys %there, map { ("${_}_bucket", "${_}_sum", "${_}_count") } keys %histogram);
