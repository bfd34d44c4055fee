/* Prints what examples/node/gmpunch.mjs declares, as layout.py wants it. The argument is the path of that file. */
import { pathToFileURL } from 'node:url';

const gmpunch = await import(pathToFileURL(process.argv[2]));

const enums = {
    ERR: gmpunch.Result, EVENT: gmpunch.EventType, REASON: gmpunch.Reason, STAGE: gmpunch.Stage, HOW: gmpunch.How,
    SOCKET: gmpunch.SocketMode, LOG: gmpunch.LogLevel, LOG_ITEM: gmpunch.LogItem,
};

function kind({ primitive, size }) {
    if (primitive === 'Void') return 'void';
    if (primitive.startsWith('UInt')) return `u${size}`;
    if (primitive.startsWith('Int')) return `i${size}`;
    if (primitive === 'Record' || primitive === 'Array') return size;
    return 'pointer';
}

for (const type of Object.values(gmpunch.declarations.types)) {
    if (type.primitive !== 'Record') continue;
    console.log('struct', type.name, type.size);
    for (const [name, member] of Object.entries(type.members))
        console.log('field', `${type.name}.${name}`, member.offset, kind(member.type));
}
for (const [prefix, values] of Object.entries(enums))
    for (const [name, value] of Object.entries(values))
        console.log('constant', name === 'OK' ? 'GMPUNCH_OK' : `GMPUNCH_${prefix}_${name}`, value);
for (const [name, value] of Object.entries(gmpunch))
    if (name === name.toUpperCase() && typeof value === 'number') console.log('constant', `GMPUNCH_${name}`, value);
for (const [name, { info }] of Object.entries(gmpunch.declarations.functions()))
    console.log('function', `gmpunch_${name}`, kind(info.result), ...info.arguments.map(({ type }) => kind(type)));
